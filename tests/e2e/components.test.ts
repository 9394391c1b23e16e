import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import {
  chromiumPath,
  enterTestCode,
  launchBrowser,
  newPerson,
  type Person,
  press,
  screenshot,
  submit,
} from '../support/browser.ts'
import { changeSettings, startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let browser: Browser

beforeAll(async () => {
  if (!chromiumPath) return
  usher = await startUsher()
  browser = await launchBrowser()
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

const password = 'a long enough password 1'
const address = 'cleo+clerk_test@example.com'

test.skipIf(!chromiumPath)(
  'every component opens, does its work and leaves the console silent; the test code works',
  async () => {
    const { url } = usher.ready
    const cleo = await newPerson(browser, 'cleo')
    const { page } = cleo

    // <SignUp/> with a test address: no mail, and the code that everybody knows.
    await page.goto(`${url}/demo?sign-up=1`)
    await page.fill('input[name=emailAddress]', address)
    await page.fill('input[name=password]', password)
    await enterTestCode(page)
    await page.getByRole('heading', { name: 'Personal account' }).waitFor()
    const { data } = (await (await fetch(`${url}/inbox.json`)).json()) as { data: unknown[] }
    expect(data).toEqual([])

    // <UserButton/>, and <UserProfile/> with profile and security.
    await page.click('.cl-userButtonTrigger')
    await screenshot(cleo, 'tour-01-user-button')
    await page.getByText('Manage account').click()
    await page.getByText('Profile details').first().waitFor()
    await page.getByText(address).last().waitFor()
    await screenshot(cleo, 'tour-02-user-profile')
    await page.getByRole('button', { name: 'Update profile' }).click()
    await page.fill('input[name=firstName]', 'Cleo')
    await page.fill('input[name=lastName]', 'Stone')
    await press(page.getByRole('button', { name: 'Save' }))
    await page.getByText('Cleo Stone').first().waitFor()
    await page.getByRole('button', { name: 'Security' }).click()
    await page.getByText('Active devices').waitFor()
    await page.getByText('This device').waitFor()
    await screenshot(cleo, 'tour-03-security')
    await page.keyboard.press('Escape')

    // <OrganizationSwitcher/> and <CreateOrganization/>.
    await page.click('.cl-organizationSwitcherTrigger')
    await page.getByText('Create organization').click()
    await page.fill('input[name=name]', 'Quarry')
    await screenshot(cleo, 'tour-04-create-organization')
    await press(page.getByRole('button', { name: 'Create organization' }))
    await page.getByRole('button', { name: 'Skip' }).click()
    await page.getByRole('heading', { name: 'Quarry' }).waitFor()

    // <OrganizationProfile/>: general, members, invitations.
    await page.click('.cl-organizationSwitcherTrigger')
    await page.getByText('Manage', { exact: true }).click()
    await page.getByText('Leave organization').first().waitFor()
    await screenshot(cleo, 'tour-05-organization-general')
    await page.getByRole('button', { name: 'Update profile' }).click()
    await page.fill('input[name=name]', 'Quarry and Sons')
    await press(page.getByRole('button', { name: 'Save' }))
    await page.getByText('Quarry and Sons').first().waitFor()
    await page.getByRole('button', { name: 'Members' }).click()
    await page.getByText(address).last().waitFor()
    await page.getByRole('tab', { name: 'Invitations' }).click()
    await screenshot(cleo, 'tour-06-invitations')
    await page.keyboard.press('Escape')

    // Sign out, and in again through <SignIn/>.
    await page.click('.cl-userButtonTrigger')
    await page.getByText('Sign out').first().click()
    await page.waitForSelector('input[name=identifier]')
    await screenshot(cleo, 'tour-07-sign-in')
    await page.fill('input[name=identifier]', address)
    await page.click('.cl-formButtonPrimary')
    await page.locator('input[name=password]:not([tabindex="-1"])').fill(password)
    await submit(page)
    await page.locator('.cl-userButtonTrigger').waitFor()

    expect(cleo.problems).toEqual([])
  },
  90_000,
)

/** Makes a key in the form that is open, and takes it from where it is shown once. */
async function makeKey(person: Person, name: string, shot: string): Promise<string> {
  const { page } = person
  await page.getByRole('button', { name: 'Add new key' }).click()
  await page.fill('input[name=name]', name)
  await page.getByRole('button', { name: 'Create key' }).click()
  await page.getByText(`Copy your "${name}" API Key now`).waitFor()
  await screenshot(person, shot)
  const secret = await page.locator('input[name=apiKeySecret], input[value^=ak_]').first().inputValue()
  await page.getByRole('button', { name: 'Copy & Close' }).click()
  await page.getByRole('cell', { name }).first().waitFor()
  return secret
}

test.skipIf(!chromiumPath)(
  'a person and an organization make API keys, see each once and revoke it',
  async () => {
    const { url, secret_key: secretKey } = usher.ready
    await changeSettings(
      usher,
      { apiKeys: { users: true, organizations: true } },
      (environment) => environment.api_keys_settings.orgs_api_keys_enabled === true,
    )
    const verifies = async (secret: string) => {
      const headers = { authorization: `Bearer ${secretKey}` }
      return (await fetch(`${url}/api_keys/verify`, { method: 'POST', headers, body: JSON.stringify({ secret }) }))
        .status
    }
    const finn = await newPerson(browser, 'finn')
    const { page, context } = finn
    await context.grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.goto(`${url}/demo?sign-up=1`)
    await page.fill('input[name=emailAddress]', 'finn+clerk_test@example.com')
    await page.fill('input[name=password]', password)
    await enterTestCode(page)
    await page.getByRole('heading', { name: 'Personal account' }).waitFor()

    await page.click('.cl-userButtonTrigger')
    await page.getByText('Manage account').click()
    await page.getByRole('button', { name: 'API keys' }).click()
    const own = await makeKey(finn, 'laptop', 'keys-01-secret')
    expect(own).toMatch(/^ak_/)
    expect(await verifies(own)).toBe(200)
    await screenshot(finn, 'keys-02-list')
    expect(await page.content()).not.toContain(own)
    await page.locator('.cl-apiKeysTable .cl-menuButtonEllipsis, .cl-menuButtonEllipsis').first().click()
    await page.getByRole('menuitem', { name: 'Revoke key' }).click()
    await page.locator('[role=alertdialog] input').fill('Revoke')
    await screenshot(finn, 'keys-03-revoke')
    await page.getByRole('button', { name: 'Revoke key' }).click()
    await page.getByText('No API keys found').waitFor()
    expect(await verifies(own)).toBe(404)
    await page.keyboard.press('Escape')

    await page.click('.cl-organizationSwitcherTrigger')
    await page.getByText('Create organization').click()
    await page.fill('input[name=name]', 'Locksmiths')
    await press(page.getByRole('button', { name: 'Create organization' }))
    await page.getByRole('button', { name: 'Skip' }).click()
    await page.getByRole('heading', { name: 'Locksmiths' }).waitFor()
    await page.click('.cl-organizationSwitcherTrigger')
    await page.getByText('Manage', { exact: true }).click()
    await page.getByRole('button', { name: 'API keys' }).click()
    const shared = await makeKey(finn, 'deploys', 'keys-04-organization')
    expect(await verifies(shared)).toBe(200)
    await screenshot(finn, 'keys-05-organization-list')
    await page.keyboard.press('Escape')

    // <APIKeys/> by itself, wherever an application puts it.
    await page.evaluate(() => {
      const place = document.body.appendChild(document.createElement('div'))
      ;(window as unknown as { Clerk: { mountAPIKeys: (node: Element) => void } }).Clerk.mountAPIKeys(place)
    })
    await page.locator('.cl-apiKeys').getByRole('cell', { name: 'deploys' }).first().waitFor()
    await screenshot(finn, 'keys-06-component')
    expect(finn.problems).toEqual([])
  },
  60_000,
)
