import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClerkClient } from '@clerk/backend'
import { clerk, clerkSetup, setupClerkTestingToken } from '@clerk/testing/playwright'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { chromiumPath, enterTestCode, launchBrowser } from '../support/browser.ts'
import { freePort } from '../support/postgres.ts'
import { startTlsFront, type TlsFront } from '../support/tls.ts'
import { runUsher, startUsher, temporaryDirectory, type UsherProcess } from '../support/usher.ts'

/**
 * The unmodified testing package against an instance that asks for a challenge and allows hardly any attempts. It
 * speaks to `https` hosts only, so that the server stands behind TLS, under the host of its publishable key.
 */
const directory = temporaryDirectory()
const password = 'a long enough password 1'
const phoneNumber = '+12015550123'
let front: TlsFront
let usher: UsherProcess
/** The server API is called behind the front. */
let apiUrl: string
let browser: Browser
let context: BrowserContext
let page: Page
let backend: ReturnType<typeof createClerkClient>
let userId: string
const visited: string[] = []

beforeAll(async () => {
  if (!chromiumPath) return
  const port = await freePort()
  front = await startTlsFront(port)
  const url = `https://127.0.0.1:${front.port}`
  const env = {
    USHER_PUBLIC_URL: url,
    USHER_CAPTCHA_SITE_KEY: 'site-key',
    USHER_CAPTCHA_SECRET: 'secret',
    USHER_CAPTCHA_URL: 'http://127.0.0.1:9/siteverify',
  }
  usher = await startUsher({ args: ['--port', String(port)], data: directory.path, env })
  apiUrl = `http://127.0.0.1:${port}`
  const file = join(directory.path, 'settings.json')
  const settings = {
    botCheck: { enabled: true },
    phoneNumber: { use: 'optional' },
    rateLimits: { attemptsPerMinute: 3 },
    clientTrust: false,
  }
  writeFileSync(file, JSON.stringify(settings))
  const set = await runUsher(['instances', 'settings', 'development', '--set', file, '--data', directory.path], env)
  expect(set.code).toBe(0)
  const { publishable_key: publishableKey, secret_key: secretKey } = usher.ready
  backend = createClerkClient({ secretKey, publishableKey, apiUrl, telemetry: { disabled: true } })
  const user = await backend.users.createUser({
    emailAddress: ['ada+clerk_test@example.com'],
    phoneNumber: [phoneNumber],
    password,
  })
  userId = user.id
  browser = await launchBrowser()
  context = await browser.newContext({ ignoreHTTPSErrors: true })
  context.on('request', (request) => visited.push(new URL(request.url()).host))
  page = await context.newPage()
  page.setDefaultTimeout(30_000)
}, 90_000)

afterAll(async () => {
  await browser?.close()
  await usher?.stop()
  front?.[Symbol.dispose]()
  directory[Symbol.dispose]()
  // The package keeps what it knows in the environment of the process.
  delete process.env.CLERK_FAPI
  delete process.env.CLERK_TESTING_TOKEN
})

/** Waits for it: signing out also leads to another page. */
const personIs = (id: string | null) =>
  page.waitForFunction((wanted) => {
    const { Clerk } = globalThis as { Clerk?: { loaded: boolean; user: { id: string } | null } }
    return Clerk?.loaded && (Clerk.user?.id ?? null) === wanted
  }, id)
const demo = () => `https://127.0.0.1:${front.port}/demo`
const address = () => new URL(demo()).host

test.skipIf(!chromiumPath)(
  'without a testing token the instance turns programs away',
  async () => {
    const stranger = await browser.newContext({ ignoreHTTPSErrors: true })
    const answer = await stranger.request.post(`https://${address()}/v1/client/sign_ups`, {
      form: { email_address: 'eve@example.com', password },
    })
    expect((await answer.json()).errors[0].code).toBe('captcha_missing_token')
    await stranger.close()
  },
  60_000,
)

test.skipIf(!chromiumPath)(
  'the testing package signs in by each of its strategies, and out, more often than the limit allows',
  async () => {
    const { publishable_key: publishableKey, secret_key: secretKey } = usher.ready
    await clerkSetup({ publishableKey, secretKey, dotenv: false, apiUrl } as Parameters<typeof clerkSetup>[0])
    expect(process.env.CLERK_FAPI).toBe(address())
    expect(process.env.CLERK_TESTING_TOKEN).toStartWith('tt_')
    await setupClerkTestingToken({ context } as never)
    await page.goto(demo())
    const { token: ticket } = await backend.signInTokens.createSignInToken({ userId, expiresInSeconds: 300 })
    const ways = [
      { strategy: 'password', identifier: 'ada+clerk_test@example.com', password },
      { strategy: 'email_code', identifier: 'ada+clerk_test@example.com' },
      { strategy: 'phone_code', identifier: phoneNumber },
      { strategy: 'ticket', ticket },
    ] as const
    for (const signInParams of ways) {
      await clerk.signIn({ page, signInParams } as never)
      await personIs(userId)
      // Signing out leads to another page, where nobody can tell the package any more that it is done.
      await clerk.signOut({ page } as never).catch((error: Error) => {
        if (!error.message.includes('Execution context was destroyed')) throw error
      })
      await personIs(null)
      await page.goto(demo())
      await personIs(null)
    }
  },
  120_000,
)

test.skipIf(!chromiumPath)(
  'with the token somebody signs up through the component, and no challenge is loaded',
  async () => {
    await page.goto(`${demo()}?sign-up=1`)
    await page.fill('input[name=emailAddress]', 'bob+clerk_test@example.com')
    await page.fill('input[name=password]', password)
    await enterTestCode(page)
    await page.getByRole('heading', { name: 'Personal account' }).waitFor()
    const users = await backend.users.getUserList({ emailAddress: ['bob+clerk_test@example.com'] })
    expect(users.totalCount).toBe(1)
    expect(visited.filter((host) => host !== address())).toEqual([])
  },
  120_000,
)
