import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ClerkClient, createClerkClient } from '@clerk/backend'
import type { Browser } from 'playwright-core'
import { chromiumPath, launchBrowser, mailTo, newPerson, type Person, screenshot as shot } from '../support/browser.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let browser: Browser
let clerk: ClerkClient

beforeAll(async () => {
  if (!chromiumPath) return
  usher = await startUsher()
  const { url: apiUrl, secret_key: secretKey } = usher.ready
  clerk = createClerkClient({ secretKey, apiUrl })
  browser = await launchBrowser()
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

const password = 'a long enough password 1'

async function signUp(name: string, address: string): Promise<Person> {
  const who = await newPerson(browser, name)
  await who.page.goto(`${usher.ready.url}/demo?sign-up=1`)
  await who.page.fill('input[name=emailAddress]', address)
  await who.page.fill('input[name=password]', password)
  await who.page.click('.cl-formButtonPrimary')
  await who.page.waitForSelector('input[autocomplete=one-time-code]')
  const { code } = await mailTo(usher.ready.url, address, 'verification_code')
  await who.page.locator('input[autocomplete=one-time-code]').pressSequentially(code ?? '')
  await who.page.locator('.cl-userButtonTrigger').waitFor()
  return who
}

/** After what fades in has faded in. */
async function screenshot(who: Person, what: string) {
  if (process.env.USHER_TEST_SCREENSHOTS) await Bun.sleep(700)
  await shot(who, what)
}

const openSwitcher = ({ page }: Person) => page.click('.cl-organizationSwitcherTrigger')

async function openProfile(who: Person, tab: string) {
  await openSwitcher(who)
  // Its text is followed by the number of requests, if there are any.
  await who.page.click('.cl-organizationSwitcherPopoverActionButton__manageOrganization')
  await who.page.getByRole('button', { name: tab }).click()
}

/** Adds a domain in the profile of the organization; whoever has an address at it has proven it. */
async function addDomain(who: Person, name: string) {
  const { page } = who
  await openProfile(who, 'General')
  await page.getByRole('button', { name: 'Add domain' }).click()
  await page.fill('input[name=name]', name)
  await page.getByRole('button', { name: 'Save' }).click()
}

/** Proves a domain by the code to a mailbox at it. */
async function verifyDomain(who: Person, name: string) {
  const { page } = who
  await page.waitForSelector('input[name=affiliationEmailAddress]')
  await page.fill('input[name=affiliationEmailAddress]', 'postmaster')
  await screenshot(who, `domain-prepare-${name}`)
  await page.getByRole('button', { name: 'Save' }).click()
  await page.waitForSelector('input[autocomplete=one-time-code]')
  const { code } = await mailTo(usher.ready.url, `postmaster@${name}`, 'verification_code')
  await page.locator('input[autocomplete=one-time-code]').pressSequentially(code ?? '')
  // The form closes by itself, with what it remembers from before: only the list knows.
  await page.getByRole('button', { name: 'Add domain' }).waitFor()
}

async function chooseMode({ page }: Person, mode: string) {
  await page.getByText(mode, { exact: true }).click()
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('button', { name: 'Add domain' }).waitFor()
}

test.skipIf(!chromiumPath)(
  'people of verified domains come to organizations by suggestion and by invitation, through the components',
  async () => {
    await clerk.instance.updateOrganizationSettings({ domainsEnabled: true })
    const ada = await signUp('ada', 'ada@acme.example')
    await openSwitcher(ada)
    await ada.page.getByText('Create organization').click()
    await ada.page.fill('input[name=name]', 'Frontiers')
    await ada.page.getByRole('button', { name: 'Create organization' }).click()
    await ada.page.getByRole('button', { name: 'Skip' }).click()
    await ada.page.getByRole('heading', { name: 'Frontiers' }).waitFor()

    // A domain at which she has an address herself: verified with it.
    await addDomain(ada, 'acme.example')
    await ada.page.getByText('is now verified').waitFor()
    await screenshot(ada, 'domain-1-own')
    await chooseMode(ada, 'Automatic suggestions')
    await screenshot(ada, 'domain-2-suggestions')

    // One that is proven by a code to a mailbox at it.
    await ada.page.reload()
    await addDomain(ada, 'beta.example')
    await verifyDomain(ada, 'beta.example')
    await ada.page.reload()
    await openProfile(ada, 'General')
    await ada.page.getByText('beta.example').waitFor()
    await screenshot(ada, 'domain-3-verified')
    await ada.page
      .locator('.cl-profileSectionItem__organizationDomains', { hasText: 'beta.example' })
      .locator('.cl-menuButtonEllipsis')
      .click()
    await ada.page.getByText('Manage', { exact: true }).last().click()
    await ada.page.getByText('Automatic invitations').waitFor()
    await screenshot(ada, 'domain-4-manage')
    await chooseMode(ada, 'Automatic invitations')

    const bob = await signUp('bob', 'bob@acme.example')
    await openSwitcher(bob)
    await bob.page.getByRole('button', { name: 'Request to join' }).waitFor()
    await screenshot(bob, 'suggestion-1')
    await bob.page.getByRole('button', { name: 'Request to join' }).click()
    await bob.page.getByText('Pending approval').waitFor()
    await screenshot(bob, 'suggestion-2')

    // She finds his request among the members.
    await ada.page.reload()
    await openProfile(ada, 'Members')
    await ada.page.getByRole('tab', { name: 'Requests' }).click()
    await ada.page.getByText('bob@acme.example').waitFor()
    await screenshot(ada, 'request-1')
    await ada.page.getByRole('button', { name: 'Approve' }).click()
    await ada.page.getByText('bob@acme.example').waitFor({ state: 'detached' })
    await ada.page.reload()
    await openProfile(ada, 'Members')
    await ada.page.locator('tr', { hasText: 'bob@acme.example' }).waitFor()
    await screenshot(ada, 'request-2')

    // He is a member at his next look, and works there.
    await bob.page.reload()
    await openSwitcher(bob)
    await bob.page.locator('.cl-organizationSwitcherPreviewButton', { hasText: 'Frontiers' }).click()
    await bob.page.getByRole('heading', { name: 'Frontiers' }).waitFor()
    await screenshot(bob, 'switched')

    const cleo = await signUp('cleo', 'cleo@beta.example')
    await openSwitcher(cleo)
    await cleo.page.getByRole('button', { name: 'Join' }).waitFor()
    await screenshot(cleo, 'invitation-1')
    await cleo.page.getByRole('button', { name: 'Join' }).click()
    await cleo.page.getByText('Frontiers').first().waitFor()
    await cleo.page.locator('.cl-organizationSwitcherPreviewButton', { hasText: 'Frontiers' }).click()
    await cleo.page.getByRole('heading', { name: 'Frontiers' }).waitFor()
    await screenshot(cleo, 'invitation-2')
    expect([ada.problems, bob.problems, cleo.problems]).toEqual([[], [], []])
  },
  180_000,
)
