import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import type { Browser } from 'playwright-core'
import { startDns, type TestDns } from '../../apps/server/src/testing/dns.ts'
import {
  chromiumPath,
  launchBrowser,
  mailTo,
  newPerson,
  type Person,
  press,
  screenshot as shot,
  submit,
} from '../support/browser.ts'
import { serverSdk } from '../support/clerk.ts'
import { changeSettings, startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let browser: Browser
let clerk: ClerkClient
let dns: TestDns

beforeAll(async () => {
  if (!chromiumPath) return
  dns = await startDns()
  usher = await startUsher({ env: { USHER_DNS_SERVERS: dns.address } })
  clerk = serverSdk(usher.ready)
  browser = await launchBrowser()
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
  dns?.close()
})

const password = 'a long enough password 1'

async function signUp(name: string, address: string): Promise<Person> {
  const who = await newPerson(browser, name)
  await who.page.goto(`${usher.ready.url}/demo?sign-up=1`)
  await who.page.fill('input[name=emailAddress]', address)
  await who.page.fill('input[name=password]', password)
  await submit(who.page)
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
  await press(page.getByRole('button', { name: 'Save' }))
}

/** Proves a domain by the code to a mailbox at it. */
async function verifyDomain(who: Person, name: string) {
  const { page } = who
  await page.waitForSelector('input[name=affiliationEmailAddress]')
  await page.fill('input[name=affiliationEmailAddress]', 'postmaster')
  await screenshot(who, `domain-prepare-${name}`)
  await press(page.getByRole('button', { name: 'Save' }))
  await page.waitForSelector('input[autocomplete=one-time-code]')
  const { code } = await mailTo(usher.ready.url, `postmaster@${name}`, 'verification_code')
  await page.locator('input[autocomplete=one-time-code]').pressSequentially(code ?? '')
  // The form closes by itself, with what it remembers from before: only the list knows.
  await page.getByRole('button', { name: 'Add domain' }).waitFor()
}

async function chooseMode({ page }: Person, mode: string) {
  await page.getByText(mode, { exact: true }).click()
  await press(page.getByRole('button', { name: 'Save' }))
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
    await press(ada.page.getByRole('button', { name: 'Create organization' }))
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

type Domain = {
  id: string
  name: string
  ownershipVerification: { status: string; txtRecordName: string; txtRecordValue: string } | null
}
type Bulk = { data: Domain[]; errors: { id: string; code: string }[] }
type InPage = {
  Clerk: {
    organization: {
      createDomain: (name: string, options: { enrollmentMode: string }) => Promise<Domain>
      prepareOwnershipVerification: (ids: string[]) => Promise<Bulk>
      attemptOwnershipVerification: (ids: string[]) => Promise<Bulk>
    }
    session: { id: string; currentTask?: { key: string } }
  }
}

test.skipIf(!chromiumPath)(
  'the browser SDK proves domains by their records',
  async () => {
    await clerk.instance.updateOrganizationSettings({ domainsEnabled: true })
    const dora = await signUp('dora', 'dora@home.example')
    await openSwitcher(dora)
    await dora.page.getByText('Create organization').click()
    await dora.page.fill('input[name=name]', 'Records')
    await press(dora.page.getByRole('button', { name: 'Create organization' }))
    await dora.page.getByRole('button', { name: 'Skip' }).click()
    await dora.page.getByRole('heading', { name: 'Records' }).waitFor()
    const prepared = await dora.page.evaluate(async () => {
      const { organization } = (window as unknown as InPage).Clerk
      const enrollmentMode = 'automatic_suggestion'
      const one = await organization.createDomain('one.example', { enrollmentMode })
      const two = await organization.createDomain('two.example', { enrollmentMode })
      return (await organization.prepareOwnershipVerification([one.id, two.id])).data.map((d) => ({ ...d }))
    })
    const [one] = prepared.filter((d) => d.name === 'one.example')
    expect(prepared.map((d) => d.ownershipVerification?.status)).toEqual(['unverified', 'unverified'])
    expect(one?.ownershipVerification?.txtRecordName).toBe('_usher-challenge.one.example')
    dns.records.set('_usher-challenge.one.example', [[one?.ownershipVerification?.txtRecordValue ?? '']])
    const { data, errors } = await dora.page.evaluate(
      async (ids) => {
        const { data, errors } = await (window as unknown as InPage).Clerk.organization.attemptOwnershipVerification(
          ids,
        )
        return { data: data.map((d) => ({ name: d.name, status: d.ownershipVerification?.status })), errors }
      },
      prepared.map((d) => d.id),
    )
    expect(data).toEqual([{ name: 'one.example', status: 'verified' }])
    expect(errors.map((e) => e.code)).toEqual(['verification_failed'])
    expect(dora.problems).toEqual([])
  },
  60_000,
)

test.skipIf(!chromiumPath)(
  'where nobody works without an organization, whoever signs up chooses one first',
  async () => {
    const organizations = { forceSelection: true, creationDefaults: true, domains: true }
    await changeSettings(
      usher,
      { organizations },
      ({ organization_settings }) => organization_settings.force_organization_selection === true,
    )
    const made = await clerk.organizations.createOrganization({ name: 'Gamma' })
    await clerk.organizations.createOrganizationDomain({
      organizationId: made.id,
      name: 'gamma.example',
      enrollmentMode: 'automatic_invitation',
    })
    const gil = await newPerson(browser, 'gil')
    const { page } = gil
    await page.goto(`${usher.ready.url}/demo?sign-up=1`)
    await page.fill('input[name=emailAddress]', 'gil@gamma.example')
    await page.fill('input[name=password]', password)
    await submit(page)
    await page.waitForSelector('input[autocomplete=one-time-code]')
    const { code } = await mailTo(usher.ready.url, 'gil@gamma.example', 'verification_code')
    await page.locator('input[autocomplete=one-time-code]').pressSequentially(code ?? '')
    await page.getByText('Choose an organization').waitFor()
    await screenshot(gil, 'selection-1')

    // The form begins with the name of the domain, and says that somebody has it already.
    await page.getByText('Create new organization').click()
    await page.getByText('gamma.example').last().waitFor()
    await page.waitForFunction(() => document.querySelector<HTMLInputElement>('input[name=name]')?.value === 'Gamma')
    await screenshot(gil, 'selection-2')
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByRole('button', { name: 'Join' }).click()
    await page.locator('button', { hasText: 'Gamma' }).first().click()
    await page.getByRole('heading', { name: 'Gamma' }).waitFor()

    // There is no personal account to go to.
    await openSwitcher(gil)
    await page.getByText('Create organization').waitFor()
    expect(await page.getByText('Personal account').count()).toBe(0)
    await screenshot(gil, 'selection-3')
    expect(gil.problems).toEqual([])
  },
  60_000,
)
