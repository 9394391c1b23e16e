import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser } from 'playwright-core'
import {
  chromiumPath,
  enterTestCode,
  launchBrowser,
  newPerson,
  type Person,
  screenshot,
  submit,
} from '../support/browser.ts'
import { changeSettings, startUsher, type UsherProcess } from '../support/usher.ts'

/** The components with the challenge switched on. Its provider is on loopback, and its widget is one of our own. */
const asked: Record<string, string>[] = []
const password = 'a long enough password 1'
let provider: ReturnType<typeof Bun.serve>
let usher: UsherProcess
let browser: Browser

beforeAll(async () => {
  if (!chromiumPath) return
  provider = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const form = Object.fromEntries(new URLSearchParams(await request.text())) as Record<string, string>
      asked.push(form)
      return Response.json({ success: form.response?.startsWith('person-') ?? false })
    },
  })
  usher = await startUsher({
    env: {
      USHER_CAPTCHA_SITE_KEY: 'smart-key',
      USHER_CAPTCHA_SECRET: 'smart-secret',
      USHER_CAPTCHA_INVISIBLE_SITE_KEY: 'invisible-key',
      USHER_CAPTCHA_INVISIBLE_SECRET: 'invisible-secret',
      USHER_CAPTCHA_URL: `http://127.0.0.1:${provider.port}/siteverify`,
    },
  })
  await changeSettings(
    usher,
    { botCheck: { enabled: true } },
    ({ user_settings }) => user_settings.sign_up.captcha_enabled === true,
  )
  browser = await launchBrowser()
}, 60_000)
afterAll(async () => {
  await browser?.close()
  await usher?.stop()
  provider?.stop(true)
})

/** In the place of the provider's script: a widget that answers by itself, and tells by which key it was shown. */
const widget = (who: string) => `
  window.turnstile = {
    render(container, options) {
      setTimeout(() => options.callback('${who}-' + options.sitekey), 20)
      return 'widget'
    },
    remove() {},
    reset() {},
  }`

async function signUp({ page, context }: Person, who: string, address: string) {
  await context.route('https://challenges.cloudflare.com/**', (route) =>
    route.fulfill({ contentType: 'text/javascript', body: widget(who) }),
  )
  await page.goto(`${usher.ready.url}/demo?sign-up=1`)
  await page.fill('input[name=emailAddress]', address)
  await page.fill('input[name=password]', password)
  await submit(page)
}

test.skipIf(!chromiumPath)(
  'the sign-up component shows the widget, and its answer lets a person through',
  async () => {
    const ada = await newPerson(browser, 'ada')
    await enterTestCode(ada.page, () => signUp(ada, 'person', 'ada+clerk_test@example.com'))
    await ada.page.getByRole('heading', { name: 'Personal account' }).waitFor()
    expect(asked.at(-1)).toMatchObject({ secret: 'smart-secret', response: 'person-smart-key' })
    expect(ada.problems).toEqual([])
  },
  60_000,
)

test.skipIf(!chromiumPath)(
  'an answer that the provider does not believe is told to the person',
  async () => {
    const eve = await newPerson(browser, 'eve')
    const refused = eve.page.waitForResponse(
      (r) => r.url().includes('/v1/client/sign_ups') && r.request().method() === 'POST',
    )
    await signUp(eve, 'program', 'eve+clerk_test@example.com')
    expect((await (await refused).json()).errors[0].code).toBe('captcha_invalid')
    await eve.page.locator('.cl-alert, [role=alert], .cl-formFieldErrorText').first().waitFor()
    await screenshot(eve, 'bot-check-refused')
    expect(await eve.page.locator('input[autocomplete=one-time-code]').count()).toBe(0)
  },
  60_000,
)
