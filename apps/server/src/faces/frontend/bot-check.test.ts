import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createTestingToken, isTestingToken, openChallenge } from '../../domains/bot-check/index.ts'
import { type TestInstance, testInstance, testServer } from '../../testing/server.ts'
import { TestBrowser } from './testing.ts'

/** A provider on loopback that believes `human` and says what it was asked. */
const asked: Record<string, string>[] = []
let provider: ReturnType<typeof Bun.serve>
let broken = false

beforeAll(async () => {
  provider = Bun.serve({
    port: 0,
    async fetch(request) {
      asked.push(Object.fromEntries(new URLSearchParams(await request.text())))
      if (broken) return new Response('<html>', { status: 502 })
      if (!asked.at(-1)?.secret?.endsWith('-secret'))
        return Response.json({ success: false, 'error-codes': ['invalid-input-secret'] })
      return Response.json({ success: asked.at(-1)?.response === 'human', 'error-codes': [] })
    },
  })
  const { runtime } = await testServer()
  runtime.challenge = openChallenge(challengeAt())
})
afterAll(async () => {
  const { runtime } = await testServer()
  runtime.challenge = undefined
  provider.stop(true)
})

const challengeAt = (secret = 'smart-secret') => ({
  url: `http://127.0.0.1:${provider.port}/siteverify`,
  smart: { siteKey: 'smart-key', secret },
  invisible: { siteKey: 'invisible-key', secret: 'invisible-secret' },
})

async function guarded(settings: object = { rateLimits: { attemptsPerMinute: 100_000 } }) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { botCheck: { enabled: true }, ...settings })
  return t
}
const signUp = (t: TestInstance, form: Record<string, string>, query = '') =>
  new TestBrowser(t).post(`/client/sign_ups${query}`, {
    email_address: 'ada@example.com',
    password: 'correct horse battery',
    ...form,
  })
const outcome = ({ status, body }: { status: number; body: { errors?: { code: string }[] } }) =>
  `${status} ${body.errors?.[0]?.code ?? 'ok'}`

test('a sign-up answers a challenge, and the provider is asked with the secret of its widget', async () => {
  const t = await guarded()
  expect(outcome(await signUp(t, {}))).toBe('400 captcha_missing_token')
  expect(outcome(await signUp(t, { captcha_error: '300030' }))).toBe('400 captcha_missing_token')
  expect(outcome(await signUp(t, { captcha_token: 'program' }))).toBe('400 captcha_invalid')
  expect(outcome(await signUp(t, { captcha_token: 'x'.repeat(5000) }))).toBe('400 captcha_invalid')
  expect(outcome(await signUp(t, { captcha_token: 'human' }))).toBe('200 ok')
  expect(asked.at(-1)).toEqual({ secret: 'smart-secret', response: 'human', remoteip: '127.0.0.1' })
  expect(outcome(await signUp(t, { captcha_token: 'human', captcha_widget_type: 'invisible' }))).toBe('200 ok')
  expect(asked.at(-1)?.secret).toBe('invisible-secret')
})

test('the components are told the site keys only while the check is on', async () => {
  const t = await guarded()
  const told = (await new TestBrowser(t).get('/environment')).body
  expect(told.user_settings.sign_up.captcha_enabled).toBe(true)
  expect(told.display_config).toMatchObject({
    captcha_public_key: 'smart-key',
    captcha_public_key_invisible: 'invisible-key',
    captcha_widget_type: 'smart',
  })
  const open = (await new TestBrowser(await testInstance()).get('/environment')).body
  expect(open.display_config).toMatchObject({ captcha_public_key: null, captcha_public_key_invisible: null })
  expect(JSON.stringify(told)).not.toContain('secret"')
})

test('a sign-in that may become a sign-up answers one too; one to an account does not', async () => {
  const t = await guarded()
  const browser = new TestBrowser(t)
  const form = { identifier: 'unknown@example.com', sign_up_if_missing: 'true' }
  expect(outcome(await browser.post('/client/sign_ins', form))).toBe('400 captcha_missing_token')
  expect(outcome(await browser.post('/client/sign_ins', { ...form, captcha_token: 'human' }))).toBe('200 ok')
  expect(outcome(await browser.post('/client/sign_ins', { identifier: 'unknown@example.com' }))).toBe(
    '422 form_identifier_not_found',
  )
})

test('what a browser hands over without a step is checked, and the check is no way around a step’s own', async () => {
  const t = await guarded()
  const browser = new TestBrowser(t)
  await browser.post('/client')
  expect(outcome(await browser.post('/client/verify', {}))).toBe('400 captcha_missing_token')
  expect(outcome(await browser.post('/client/verify', { captcha_token: 'program' }))).toBe('400 captcha_invalid')
  const verified = await browser.post('/client/verify', { captcha_token: 'human' })
  expect(verified.body.response).toMatchObject({ object: 'client', captcha_bypass: false })
  const form = { email_address: 'ada@example.com', password: 'correct horse battery' }
  expect(outcome(await browser.post('/client/sign_ups', form))).toBe('400 captcha_missing_token')
})

test('nobody passes while the provider is away, refuses the secret or is not configured', async () => {
  const t = await guarded()
  const { runtime } = t.server
  const held = runtime.challenge
  try {
    broken = true
    expect(outcome(await signUp(t, { captcha_token: 'human' }))).toBe('503 unavailable')
    broken = false
    runtime.challenge = openChallenge(challengeAt('wrong'))
    expect(outcome(await signUp(t, { captcha_token: 'human' }))).toBe('503 unavailable')
    runtime.challenge = undefined
    expect(outcome(await signUp(t, { captcha_token: 'human' }))).toBe('400 captcha_missing_token')
  } finally {
    broken = false
    runtime.challenge = held
  }
})

test('a testing token from the server API passes the check and the limit by address', async () => {
  const t = await guarded({ rateLimits: { attemptsPerMinute: 2 } })
  const made = await (await t.fetch('/v1/testing_tokens', { method: 'POST', secretKey: true })).json()
  const { token, expires_at } = made as { token: string; expires_at: number }
  expect(made).toMatchObject({ object: 'testing_token' })
  expect(expires_at).toBeGreaterThan(Date.now() / 1000 + 3000)
  const query = `?__clerk_testing_token=${encodeURIComponent(token)}`
  const replies = []
  for (let i = 0; i < 6; i += 1) replies.push(await signUp(t, { email_address: `a${i}@example.com` }, query))
  expect(replies.map(outcome)).toEqual(Array(6).fill('200 ok'))
  expect(replies[0]?.body.client.captcha_bypass).toBe(true)
  // Nothing of it stays with the browser, and without it the limit holds.
  const plain = [await signUp(t, {}), await signUp(t, {}), await signUp(t, {})]
  expect(plain.map(outcome)).toEqual([
    '400 captcha_missing_token',
    '400 captcha_missing_token',
    '429 too_many_requests',
  ])
})

test('a testing token ends, holds in its instance alone and cannot be altered', async () => {
  const t = await guarded()
  const other = await guarded()
  const { token } = createTestingToken(t.ctx())
  expect(isTestingToken(t.ctx(), token)).toBe(true)
  expect(isTestingToken(other.ctx(), token)).toBe(false)
  const [seconds = '', keyId = '', signature = ''] = token.slice(3).split('.')
  for (const forged of [
    `tt_${Number(seconds) + 1}.${keyId}.${signature}`,
    `tt_${seconds}.9.${signature}`,
    `tt_${seconds}.${keyId}.${'A'.repeat(43)}`,
    `tt_${seconds}.${keyId}.`,
    `${token}A`,
    'tt_1',
    '',
  ])
    expect(isTestingToken(t.ctx(), forged)).toBe(false)
  const query = `?__clerk_testing_token=${encodeURIComponent(token)}`
  expect(outcome(await signUp(other, {}, query))).toBe('400 captcha_missing_token')
  t.advance(3601_000)
  expect(isTestingToken(t.ctx(), token)).toBe(false)
})
