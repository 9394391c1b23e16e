import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHmac } from 'node:crypto'
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
  await change({
    passkeys: { enabled: true },
    phoneNumber: { use: 'optional', verifyAtSignUp: false },
    secondFactors: { totp: true, phoneCode: true, backupCodes: true },
  })
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

/** Changes the instance's settings, and waits until the running server has heard of it. */
async function change(settings: { passkeys?: object; phoneNumber?: object; secondFactors?: Record<string, boolean> }) {
  const wanted = settings.secondFactors?.required ?? false
  await changeSettings(
    usher,
    settings,
    ({ user_settings: { attributes, sign_in } }) =>
      attributes.passkey?.enabled === true && sign_in.second_factor.required === wanted,
  )
}

const password = 'a long enough password 1'

/** Signs somebody up with a test address, through the component. */
async function signUp({ page }: Person, address: string) {
  await page.goto(`${usher.ready.url}/demo?sign-up=1`)
  await page.fill('input[name=emailAddress]', address)
  await page.fill('input[name=password]', password)
  await enterTestCode(page)
  await page.getByRole('heading', { name: 'Personal account' }).waitFor()
}

async function openSecurity({ page }: Person) {
  await page.click('.cl-userButtonTrigger')
  await page.getByText('Manage account').click()
  await page.getByRole('button', { name: 'Security' }).click()
  await page.getByText('Active devices').waitFor()
}

async function signOut({ page }: Person) {
  await page.keyboard.press('Escape')
  await page.click('.cl-userButtonTrigger')
  await page.getByText('Sign out').first().click()
  await page.waitForSelector('input[name=identifier]')
}

/** The secret that stands beside a QR code. */
async function readSecret({ page }: Person): Promise<string> {
  await page.getByText('scan QR code').click()
  const shown = page.locator('input[value]')
  await shown.first().waitFor()
  const values = await shown.evaluateAll((all) => all.map((input) => (input as HTMLInputElement).value))
  return values.find((value) => /^[A-Z2-7]{32}$/.test(value)) ?? ''
}

async function enterPassword({ page }: Person, address: string) {
  await page.fill('input[name=identifier]', address)
  await page.click('.cl-formButtonPrimary')
  await page.locator('input[name=password]:not([tabindex="-1"])').fill(password)
  await submit(page)
}

test.skipIf(!chromiumPath)(
  'a passkey is registered in the profile and signs in, by the button and by autofill',
  async () => {
    const dora = await newPerson(browser, 'dora')
    const { page, context } = dora
    // The SDK offers no passkeys to browsers that say they are driven by a program.
    await page.addInitScript(() => Object.defineProperty(navigator, 'webdriver', { get: () => false }))
    const devtools = await context.newCDPSession(page)
    await devtools.send('WebAuthn.enable')
    const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    })
    // An authenticator answers nothing that was asked before somebody was present, so that this is said before each question.
    // Autofill asks by itself, a moment after the page is shown: with the button's question both would be answered.
    const asked: string[] = []
    let answersAutofill = false
    await page.exposeFunction('beforeAsking', async (mediation: string) => {
      const enabled = mediation !== 'conditional' || answersAutofill
      await devtools.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled })
      asked.push(mediation)
    })
    await page.addInitScript(() => {
      const { credentials } = navigator
      // Not on pages without an origin.
      const get = credentials?.get.bind(credentials)
      const program = window as unknown as { beforeAsking: (mediation: string) => Promise<void> }
      if (get)
        credentials.get = async (options) => {
          await program.beforeAsking(options?.mediation ?? 'optional')
          return get(options)
        }
    })
    await signUp(dora, 'dora+clerk_test@example.com')
    await openSecurity(dora)
    await screenshot(dora, 'factors-01-security')
    await page.getByRole('button', { name: 'Add a passkey' }).click()
    await page.getByText('Passkey on Linux').waitFor()
    await screenshot(dora, 'factors-02-passkey')
    await signOut(dora)
    await screenshot(dora, 'factors-03-sign-in')
    for (const end = Date.now() + 20_000; !asked.includes('conditional') && Date.now() < end; ) await Bun.sleep(20)
    await page.getByText('Use passkey instead').click()
    await page.locator('.cl-userButtonTrigger').waitFor()
    await screenshot(dora, 'factors-04-signed-in')
    expect(asked).toEqual(['conditional', 'optional'])

    // Autofill: the passkey is offered in the field of the name, and nothing has to be typed or pressed.
    answersAutofill = true
    await signOut(dora)
    await page.locator('.cl-userButtonTrigger').waitFor()
    await openSecurity(dora)
    await page.getByText('Last used').waitFor()
    await screenshot(dora, 'factors-05-used')

    // Renamed and removed.
    await page
      .locator('.cl-profileSection__passkeys .cl-menuButton, .cl-profileSection__passkeys button[aria-label]')
      .first()
      .click()
    await page.getByRole('menuitem', { name: 'Rename' }).click()
    await page.fill('input[name=passkeyName]', 'Laptop')
    await press(page.getByRole('button', { name: 'Save' }))
    await page.getByText('Laptop').waitFor()
    await screenshot(dora, 'factors-06-renamed')
    expect(dora.problems).toEqual([])
  },
  90_000,
)

/** The code that an authenticator app shows, some steps from now (RFC 6238). */
function codeOf(base32: string, steps = 0): string {
  const bits = [...base32]
    .map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0'))
    .join('')
  const key = Buffer.from(bits.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? [])
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps))
  const digest = createHmac('sha1', key).update(counter).digest()
  const at = (digest[19] ?? 0) & 15
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

test.skipIf(!chromiumPath)(
  'an authenticator, backup codes and text messages are set up in the profile and sign in',
  async () => {
    const emil = await newPerson(browser, 'emil')
    const { page } = emil
    const address = 'emil+clerk_test@example.com'
    await signUp(emil, address)
    await openSecurity(emil)
    await page.getByText('Add two-step verification').click()
    await screenshot(emil, 'factors-11-menu')
    await page.getByRole('menuitem', { name: 'Authenticator application' }).click()
    const secret = await readSecret(emil)
    await press(page.getByRole('button', { name: 'Continue' }))
    await page.locator('input[autocomplete=one-time-code]').pressSequentially(codeOf(secret))
    await page.getByText('Two-step verification is now enabled').waitFor()
    const codes = [...new Set(await page.getByText(/^[0-9a-z]{4}(-[0-9a-z]{4}){3}$/).allTextContents())]
    expect(codes).toHaveLength(10)
    await screenshot(emil, 'factors-13-backup-codes')
    await page.getByRole('button', { name: 'Finish' }).click()

    // Password, then a code of the authenticator: of the next step, because the first one is spent.
    await signOut(emil)
    await enterPassword(emil, address)
    await page.locator('input[autocomplete=one-time-code]').waitFor()
    await screenshot(emil, 'factors-14-second-factor')
    await page.locator('input[autocomplete=one-time-code]').pressSequentially(codeOf(secret, 1))
    await page.locator('.cl-userButtonTrigger').waitFor()

    // Password, then a backup code.
    await signOut(emil)
    await enterPassword(emil, address)
    await page.getByRole('heading', { name: 'Two-step verification' }).waitFor()
    await page.getByText('Use another method').click()
    await page.getByText('Use a backup code').waitFor()
    await screenshot(emil, 'factors-15-methods')
    await page.getByText('Use a backup code').click()
    await page
      .locator('input[name=code], input[name=backup_code], input[type=text]')
      .first()
      .fill(codes[3] ?? '')
    await screenshot(emil, 'factors-16-backup-code')
    await page.click('.cl-formButtonPrimary')
    await page.locator('.cl-userButtonTrigger').waitFor()

    // A number for codes by text message, as a second one; then the authenticator goes.
    await openSecurity(emil)
    await page.getByText('Add two-step verification').click()
    await page.getByRole('menuitem', { name: 'SMS code' }).click()
    await page.getByRole('button', { name: 'Add phone number' }).click()
    await page.locator('input[type=tel]').fill('2015550100')
    await enterTestCode(page)
    await page.getByText('SMS code verification enabled').waitFor()
    await screenshot(emil, 'factors-17-sms')
    await page.getByRole('button', { name: 'Finish' }).click()
    await page.getByText('+1 (201) 555-0100').waitFor()
    await page.locator('.cl-profileSection__mfa button[aria-label]').first().click()
    await page.getByRole('menuitem', { name: 'Remove' }).click()
    await screenshot(emil, 'factors-18-remove')
    await page.getByRole('button', { name: 'Remove' }).click()
    await page.getByText('Authenticator application').waitFor({ state: 'detached' })
    await screenshot(emil, 'factors-19-removed')

    // Password, then a code by text message.
    await signOut(emil)
    await enterPassword(emil, address)
    await page.getByText('+1').first().waitFor()
    await screenshot(emil, 'factors-20-text-message')
    await page.locator('input[autocomplete=one-time-code]').pressSequentially('424242')
    await page.locator('.cl-userButtonTrigger').waitFor()
    expect(emil.problems).toEqual([])
  },
  120_000,
)

test.skipIf(!chromiumPath)(
  'where a second factor is required, whoever has none sets one up before anything else',
  async () => {
    await change({ secondFactors: { required: true } })
    const fay = await newPerson(browser, 'fay')
    const { page } = fay
    await page.goto(`${usher.ready.url}/demo?sign-up=1`)
    await page.fill('input[name=emailAddress]', 'fay+clerk_test@example.com')
    await page.fill('input[name=password]', password)
    await enterTestCode(page)
    await page.getByRole('heading', { name: 'Set up two-step verification' }).waitFor()
    await screenshot(fay, 'factors-31-task')
    await page.getByText('Authenticator application').click()
    const secret = await readSecret(fay)
    await press(page.getByRole('button', { name: 'Continue' }))
    await page.locator('input[autocomplete=one-time-code]').pressSequentially(codeOf(secret))
    await page
      .getByText(/^[0-9a-z]{4}(-[0-9a-z]{4}){3}$/)
      .first()
      .waitFor()
    await screenshot(fay, 'factors-32-task')
    await press(page.getByRole('button', { name: 'Continue' }))
    await page.getByRole('heading', { name: 'Personal account' }).waitFor()
    await screenshot(fay, 'factors-33-done')
    expect(fay.problems).toEqual([])
  },
  90_000,
)
