import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import {
  chromiumPath,
  enterTestCode,
  launchBrowser,
  mailTo,
  newPerson,
  type Person,
  screenshot,
} from '../support/browser.ts'
import { changeSettings, runUsher, startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let browser: Browser

/** Everything that a sign-in or sign-up can ask for and offer, at once. */
const everything = {
  emailAddress: { use: 'optional', links: true },
  phoneNumber: { use: 'optional' },
  username: { use: 'required' },
  passkeys: { enabled: true },
  secondFactors: { totp: true, phoneCode: true, backupCodes: true },
  signUp: { legalConsent: true, names: 'optional' },
  termsUrl: 'https://example.com/terms',
  privacyPolicyUrl: 'https://example.com/privacy',
  multiSession: true,
}

beforeAll(async () => {
  if (!chromiumPath) return
  usher = await startUsher()
  browser = await launchBrowser()
  await command('connections', 'enable', 'google', 'github', 'microsoft')
  await changeSettings(usher, everything, ({ user_settings }) => Object.keys(user_settings.social).length === 3)
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

async function command(...args: string[]) {
  const { code, stderr } = await runUsher([...args, '--data', usher.ready.data])
  if (code !== 0) throw new Error(stderr)
}
const demo = (query = '') => `${usher.ready.url}/demo${query}`
const signedIn = ({ page }: Person) => page.getByRole('heading', { name: 'Personal account' }).waitFor()

/** Says at the built-in provider who one is. */
async function beAtProvider({ page }: Person, email: string, more: { verified?: boolean; number?: string } = {}) {
  await page.getByRole('heading', { name: 'This is not Google' }).waitFor()
  await page.fill('input[name=email]', email)
  await page.fill('input[name=number]', more.number ?? '1')
  if (more.verified === false) await page.uncheck('input[name=verified]')
  await page.getByRole('button', { name: 'Continue as this person' }).click()
}

test.skipIf(!chromiumPath)(
  'a sign-up with everything that can be asked for: by number and username, with consent',
  async () => {
    const dora = await newPerson(browser, 'dora')
    const { page } = dora
    await page.goto(demo('?sign-up=1'))
    await page.waitForSelector('input[name=emailAddress], input[name=phoneNumber]')
    await screenshot(dora, 'ways-01-sign-up')
    await page.getByText('Use phone instead').click()
    await page.fill('input[name=phoneNumber]', '2025550122')
    await page.fill('input[name=username]', 'dora_d')
    await page.fill('input[name=password]', 'a long enough password 1')
    await page.check('input[name=legalAccepted], input[type=checkbox]')
    await screenshot(dora, 'ways-02-sign-up-filled')
    await enterTestCode(page)
    await signedIn(dora)
    await screenshot(dora, 'ways-03-signed-up')
    expect(dora.problems).toEqual([])
  },
  90_000,
)

test.skipIf(!chromiumPath)(
  'somebody new comes with Google, signs in with it again, and connects another account in their profile',
  async () => {
    const emil = await newPerson(browser, 'emil')
    const { page } = emil
    await page.goto(demo())
    await page.waitForSelector('.cl-socialButtonsIconButton, .cl-socialButtonsBlockButton')
    await screenshot(emil, 'ways-04-sign-in')
    await page.locator('[class*=cl-socialButtons][class*=google]').first().click()
    await page.getByRole('heading', { name: 'This is not Google' }).waitFor()
    await screenshot(emil, 'ways-05-demo-provider')
    await beAtProvider(emil, 'emil@example.com')
    // Nobody knows him yet: the sign-in becomes a sign-up, which asks for his consent.
    await page.waitForSelector('input[type=checkbox]')
    await page.fill('input[name=username]', 'emil_e')
    await screenshot(emil, 'ways-06-continue')
    await page.check('input[type=checkbox]')
    await page.click('.cl-formButtonPrimary')
    await signedIn(emil)

    await page.click('.cl-userButtonTrigger')
    await page.getByText('Manage account').click()
    await page.getByText('Connected accounts').first().waitFor()
    await page.getByText('emil@example.com').first().waitFor()
    await screenshot(emil, 'ways-07-connected')
    await page.keyboard.press('Escape')
    await page.click('.cl-userButtonTrigger')
    await page.getByText('Sign out').first().click()
    await page.waitForSelector('[class*=cl-socialButtons][class*=google]')
    await page.locator('[class*=cl-socialButtons][class*=google]').first().click()
    await beAtProvider(emil, 'emil@example.com')
    await signedIn(emil)
    expect(emil.problems).toEqual([])
  },
  90_000,
)

test.skipIf(!chromiumPath)(
  'B4 an account of the provider with the same address, but not the same, is told so and let in nowhere',
  async () => {
    const mallory = await newPerson(browser, 'mallory')
    const { page } = mallory
    await page.goto(demo())
    await page.locator('[class*=cl-socialButtons][class*=google]').first().click()
    await beAtProvider(mallory, 'emil@example.com', { number: '2' })
    await page.getByText('Another account of this provider is connected').first().waitFor()
    await screenshot(mallory, 'ways-08-refused')
    expect(await page.locator('.cl-userButtonTrigger').count()).toBe(0)
    expect(mallory.problems).toEqual([])
  },
  90_000,
)

test.skipIf(!chromiumPath)(
  'a link by email signs in where it was asked for, when it is confirmed in another browser',
  async () => {
    const emil = await newPerson(browser, 'emil-2')
    const { page } = emil
    await page.goto(demo())
    await page.fill('input[name=identifier]', 'emil@example.com')
    await page.click('.cl-formButtonPrimary')
    await page
      .getByText(/Use another method|Email link|check your email/i)
      .first()
      .waitFor()
    await screenshot(emil, 'ways-09-first-factor')
    if (!(await page.getByText(/verification link/i).count())) {
      await page.getByText('Use another method').first().click()
      await page
        .getByText(/Email link to/i)
        .first()
        .click()
    }
    const mail = await mailTo(usher.ready.url, 'emil@example.com', 'magic_link_sign_in')
    await screenshot(emil, 'ways-10-link-sent')
    const phone = await newPerson(browser, 'phone')
    await phone.page.goto(mail.links[0] ?? '')
    await phone.page.getByRole('heading', { name: 'Sign in?' }).waitFor()
    await screenshot(phone, 'ways-11-confirm')
    await phone.page.getByRole('button', { name: 'Yes, that was me' }).click()
    await signedIn(emil)
    expect(emil.problems).toEqual([])
  },
  90_000,
)
