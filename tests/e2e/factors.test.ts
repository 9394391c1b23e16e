import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { chromiumPath, launchBrowser, newPerson, type Person, screenshot } from '../support/browser.ts'
import { runUsher, startUsher, temporaryDirectory, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let browser: Browser

beforeAll(async () => {
  if (!chromiumPath) return
  usher = await startUsher()
  browser = await launchBrowser()
  using folder = temporaryDirectory()
  const file = join(folder.path, 'settings.json')
  const settings = {
    passkeys: { enabled: true },
    phoneNumber: { use: 'optional', verifyAtSignUp: false },
    secondFactors: { totp: true, phoneCode: true, backupCodes: true },
  }
  writeFileSync(file, JSON.stringify(settings))
  const args = ['instances', 'settings', 'development', '--set', file, '--data', usher.ready.data]
  const { code, stderr } = await runUsher(args)
  if (code !== 0) throw new Error(stderr)
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

const password = 'a long enough password 1'

/** Signs somebody up with a test address, through the component. */
async function signUp({ page }: Person, address: string) {
  await page.goto(`${usher.ready.url}/demo?sign-up=1`)
  await page.fill('input[name=emailAddress]', address)
  await page.fill('input[name=password]', password)
  await page.click('.cl-formButtonPrimary')
  await page.locator('input[autocomplete=one-time-code]').pressSequentially('424242')
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
    await signUp(dora, 'dora+clerk_test@example.com')
    await openSecurity(dora)
    await screenshot(dora, 'factors-01-security')
    await page.getByRole('button', { name: 'Add a passkey' }).click()
    await page.getByText('Passkey on Linux').waitFor()
    await screenshot(dora, 'factors-02-passkey')
    await devtools.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled: false })
    await signOut(dora)
    await screenshot(dora, 'factors-03-sign-in')
    await page.getByText('Use passkey instead').click()
    await devtools.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled: true })
    await page.locator('.cl-userButtonTrigger').waitFor()
    await screenshot(dora, 'factors-04-signed-in')

    // Autofill: the passkey is offered in the field of the name, and nothing has to be typed or pressed.
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
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Laptop').waitFor()
    await screenshot(dora, 'factors-06-renamed')
    expect(dora.problems).toEqual([])
  },
  90_000,
)
