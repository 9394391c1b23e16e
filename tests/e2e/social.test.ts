import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import { chromiumPath, enterTestCode, launchBrowser, newPerson, screenshot } from '../support/browser.ts'
import { runUsher, startUsher, type UsherProcess, untilEnvironment } from '../support/usher.ts'

let usher: UsherProcess
let browser: Browser

beforeAll(async () => {
  if (!chromiumPath) return
  usher = await startUsher()
  browser = await launchBrowser()
  const { code, stderr } = await runUsher(['connections', 'enable', 'github', '--data', usher.ready.data])
  if (code !== 0) throw new Error(stderr)
  await untilEnvironment(usher, ({ user_settings }) => 'oauth_github' in user_settings.social)
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
})

test.skipIf(!chromiumPath)(
  'a popup goes through the provider and tells the page that opened it of the session',
  async () => {
    const paula = await newPerson(browser, 'paula')
    const { page } = paula
    const { url } = usher.ready
    await page.goto(`${url}/demo`)
    await page.waitForSelector('[class*=cl-socialButtons][class*=github]')
    // What the SDK does for a popup, without its origin: it believes in https alone.
    const popupOpens = page.waitForEvent('popup')
    const heard = page.evaluate(async (base) => {
      const popup = window.open('about:blank', '', 'width=600,height=800')
      const word = new Promise((resolve) => {
        window.addEventListener('message', (event) => event.data?.session && resolve(event.data), { once: false })
      })
      const form = new URLSearchParams({
        strategy: 'oauth_github',
        redirect_url: `${base}/popup-callback?return_url=${encodeURIComponent(`${base}/demo`)}`,
        action_complete_redirect_url: `${base}/popup-callback`,
      })
      const begun = await (await fetch('/v1/client/sign_ups', { method: 'POST', body: form })).json()
      if (popup) popup.location.href = begun.response.verifications.external_account.external_verification_redirect_url
      return word
    }, url)
    const popup = await popupOpens
    await popup.getByRole('heading', { name: 'This is not GitHub' }).waitFor()
    const closed = popup.waitForEvent('close')
    await popup.getByRole('button', { name: 'Continue as this person' }).click()
    expect(await heard).toEqual({ session: expect.stringMatching(/^sess_/) })
    await closed
    await page.reload()
    await page.locator('.cl-userButtonTrigger').waitFor()
    await screenshot(paula, 'popup-01-signed-in')
    expect(paula.problems).toEqual([])
  },
  60_000,
)

test.skipIf(!chromiumPath)(
  'an account is connected and taken away in the profile',
  async () => {
    const { url } = usher.ready
    const rosa = await newPerson(browser, 'rosa')
    const { page } = rosa
    await page.goto(`${url}/demo?sign-up=1`)
    await page.fill('input[name=emailAddress]', 'rosa+clerk_test@example.com')
    await page.fill('input[name=password]', 'a long enough password 1')
    await enterTestCode(page)
    await page.click('.cl-userButtonTrigger')
    await page.getByText('Manage account').click()
    await page.getByText('Connect account').click()
    await screenshot(rosa, 'social-01-connect')
    await page.getByRole('menuitem', { name: /GitHub/ }).click()
    await page.getByRole('heading', { name: 'This is not GitHub' }).waitFor()
    await page.fill('input[name=email]', 'rosa.github@example.com')
    await page.getByRole('button', { name: 'Continue as this person' }).click()
    await page.waitForURL((at) => at.pathname.startsWith('/demo'))
    // The components remember that the profile was open, and open it again.
    const account = page.locator('.cl-profileSection__connectedAccounts')
    await account.getByText('rosa.github@example.com').waitFor()
    await screenshot(rosa, 'social-02-connected')
    await account.locator('button[aria-label]').first().click()
    await page.getByRole('menuitem', { name: 'Remove' }).click()
    await page.getByText('will be removed').first().waitFor()
    await screenshot(rosa, 'social-03-remove')
    await page.getByRole('button', { name: 'Remove', exact: true }).click()
    await account.getByText('rosa.github@example.com').waitFor({ state: 'detached' })
    await screenshot(rosa, 'social-04-removed')
    expect(rosa.problems).toEqual([])
  },
  90_000,
)
