import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import { importTotp } from '../../domains/credentials/index.ts'
import { SoftwareAuthenticator } from '../../domains/credentials/testing.ts'
import { deleteUser, updateUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { claimsOf, TestBrowser } from './testing.ts'

const ada = 'ada@example.com'

/** Ada with a passkey, and a browser that nobody is signed in on. */
async function withPasskey(settings: Record<string, unknown> = {}) {
  const t = await testInstance()
  const all = { passkeys: { enabled: true }, secondFactors: { totp: true }, ...settings }
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, all)
  const own = new TestBrowser(t)
  const { userId } = await own.signUp(ada)
  const device = new SoftwareAuthenticator()
  const { id, verification } = (await own.post('/me/passkeys')).body.response
  const path = `/me/passkeys/${id}/attempt_verification`
  await own.post(path, { public_key_credential: device.create(verification.nonce) })
  return { t, own, userId, device, browser: new TestBrowser(t) }
}

type Options = { allowCredentials?: { id: string; type: string }[] }

/** Asks for a passkey, with or without saying who it is. */
async function ask(browser: TestBrowser, identifier?: string) {
  const begun = await browser.post('/client/sign_ins', identifier ? { identifier } : { strategy: 'passkey' })
  const { id } = begun.body.response
  const asked = identifier
    ? await browser.post(`/client/sign_ins/${id}/prepare_first_factor`, { strategy: 'passkey' })
    : begun
  const { status, first_factor_verification: verification } = asked.body.response
  const nonce: string = verification.nonce
  return { id, status, nonce, options: JSON.parse(nonce) as Options, begun: begun.body.response }
}

const show = (browser: TestBrowser, id: string, credential: string) =>
  browser.post(`/client/sign_ins/${id}/attempt_first_factor`, {
    strategy: 'passkey',
    public_key_credential: credential,
  })

test('a passkey signs in, without a name being typed and with one', async () => {
  const { t, userId, device } = await withPasskey()
  for (const identifier of [undefined, ada]) {
    const browser = new TestBrowser(t)
    const { id, status, nonce } = await ask(browser, identifier)
    expect(status).toBe('needs_first_factor')
    const done = await show(browser, id, device.get(nonce))
    expect(done.body.response).toMatchObject({ status: 'complete' })
    const [session] = done.body.client.sessions
    expect(session.user.id).toBe(userId)
    expect(claimsOf(session.last_active_token.jwt).fva).toEqual([0, 0])
  }
})

test('M5 an answer signs in once, in the browser that asked', async () => {
  const { t, device, browser } = await withPasskey()
  const { id, nonce } = await ask(browser)
  const answer = device.get(nonce)
  const thief = new TestBrowser(t)
  const stolen = await ask(thief)
  expect((await show(thief, id, answer)).status).toBe(404)
  expect((await show(thief, stolen.id, answer)).body.errors[0].code).toBe('passkey_invalid')
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => show(browser, id, answer)))
  expect(outcomes.filter((o) => o.status === 200)).toHaveLength(1)
  expect((await browser.get('/client')).body.response.sessions).toHaveLength(1)
})

test('where a passkey is one factor only, the second one is asked for after it', async () => {
  const { t, userId, device, browser } = await withPasskey({
    passkeys: { enabled: true, satisfiesSecondFactor: false },
  })
  await transaction(t.ctx(), (tx) => importTotp(tx, { userId, secret: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' }))
  const { id, nonce } = await ask(browser)
  const half = await show(browser, id, device.get(nonce))
  expect(half.body.response).toMatchObject({ status: 'needs_second_factor', created_session_id: null })
  expect(half.body.client.sessions).toEqual([])
})

test('A16 M11 the passkey of somebody who was banned or deleted signs nobody in', async () => {
  const { t, userId, device, browser } = await withPasskey()
  await updateUser(t.ctx(), { id: userId, banned: true })
  const banned = await ask(browser)
  expect((await show(browser, banned.id, device.get(banned.nonce))).body.errors[0].code).toBe('user_banned')
  await updateUser(t.ctx(), { id: userId, banned: false })
  const before = await ask(browser)
  await deleteUser(t.ctx(), userId)
  expect((await show(browser, before.id, device.get(before.nonce))).body.errors[0].code).toBe('passkey_invalid')
})

test('A14 where accounts are not told, passkeys are asked of everybody alike', async () => {
  const { t } = await withPasskey({ enumerationProtection: true })
  await new TestBrowser(t).signUp('bob@example.com')
  const shown: Awaited<ReturnType<typeof ask>>[] = []
  for (const identifier of [ada, 'bob@example.com', 'nobody@example.com'])
    shown.push(await ask(new TestBrowser(t), identifier))
  const [known] = shown
  for (const { begun, options } of shown) {
    const strategies = begun.supported_first_factors.map((f: { strategy: string }) => f.strategy)
    expect(strategies).toEqual(known?.begun.supported_first_factors.map((f: { strategy: string }) => f.strategy))
    expect(Object.keys(options)).toEqual(Object.keys(known?.options ?? {}))
    expect(options.allowCredentials).toHaveLength(1)
  }
  const again = await ask(new TestBrowser(t), 'nobody@example.com')
  expect(again.options.allowCredentials).toEqual(shown[2]?.options.allowCredentials)
})
