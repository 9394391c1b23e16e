import { expect, test } from 'bun:test'
import { eq } from 'drizzle-orm'
import { HOTP, Secret } from 'otpauth'
import { transaction } from '../../database/index.ts'
import { SoftwareAuthenticator } from '../../domains/credentials/testing.ts'
import { sessions } from '../../domains/sessions/tables.ts'
import { getUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { claimsOf, mailsTo, TestBrowser } from './testing.ts'

const everything = {
  phoneNumber: { use: 'optional' },
  passkeys: { enabled: true },
  secondFactors: { totp: true, phoneCode: true, backupCodes: true },
}

async function signedIn(settings: Record<string, unknown> = everything) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, settings)
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const call = (method: string, path: string, form?: Record<string, string>) =>
    browser.send(method, `/me${path}?_clerk_session_id=${sessionId}`, form)
  return { t, browser, userId, sessionId, call }
}

/** A code of an authenticator, some steps from now. */
const codeOf = (secret: string, steps = 0) =>
  HOTP.generate({ secret: Secret.fromBase32(secret), counter: Math.floor(Date.now() / 30_000) + steps })

test('nobody is signed in: every route of the factors is refused', async () => {
  const browser = new TestBrowser(await testInstance())
  const routes: [string, string][] = [
    ['POST', '/me/totp'],
    ['POST', '/me/totp/attempt_verification'],
    ['DELETE', '/me/totp'],
    ['POST', '/me/backup_codes'],
    ['POST', '/me/passkeys'],
    ['POST', '/me/passkeys/pkey_x/attempt_verification'],
    ['PATCH', '/me/passkeys/pkey_x'],
    ['DELETE', '/me/passkeys/pkey_x'],
    ['GET', '/me/phone_numbers'],
    ['POST', '/me/phone_numbers'],
    ['PATCH', '/me/phone_numbers/idn_x'],
    ['DELETE', '/me/phone_numbers/idn_x'],
    ['POST', '/me/phone_numbers/idn_x/prepare_verification'],
    ['POST', '/me/phone_numbers/idn_x/attempt_verification'],
  ]
  for (const [method, path] of routes) expect([path, (await browser.send(method, path)).status]).toEqual([path, 401])
})

test('an authenticator is set up, comes with backup codes once, and goes', async () => {
  const { t, userId, call } = await signedIn()
  const begun = (await call('POST', '/totp')).body.response
  expect(begun).toMatchObject({ object: 'totp', verified: false, backup_codes: null })
  expect(begun.uri).toContain('ada%40example.com')
  const wrong = await call('POST', '/totp/attempt_verification', { code: '000000' })
  expect(wrong.body.errors[0]).toMatchObject({ code: 'form_code_incorrect', meta: { param_name: 'code' } })
  const done = await call('POST', '/totp/attempt_verification', { code: codeOf(begun.secret) })
  expect(done.body.response).toMatchObject({ object: 'totp', id: begun.id, verified: true })
  expect(done.body.response.backup_codes).toHaveLength(10)
  expect(done.body.response).not.toHaveProperty('secret')
  const [session] = done.body.client.sessions
  expect(session.user).toMatchObject({ totp_enabled: true, backup_code_enabled: true, two_factor_enabled: true })
  expect((await call('POST', '/totp')).body.errors[0].code).toBe('verification_already_verified')
  const anew = await call('POST', '/backup_codes')
  expect(anew.body.response.object).toBe('backup_code')
  expect(anew.body.response.codes).toHaveLength(10)
  expect(anew.body.response.codes).not.toContain(done.body.response.backup_codes[0])
  const gone = await call('DELETE', '/totp')
  expect(gone.body.response).toEqual({ object: 'totp', id: begun.id, deleted: true })
  expect(gone.body.client.sessions[0].user).toMatchObject({ totp_enabled: false, two_factor_enabled: false })
  expect((await getUser(t.ctx(), userId)).backupCodeEnabled).toBe(false)
  expect((await call('POST', '/backup_codes')).status).toBe(403)
})

test('M7 removing a factor lowers the sessions that showed one', async () => {
  const { t, userId, browser, sessionId, call } = await signedIn()
  const fva = async () =>
    claimsOf((await browser.post(`/client/sessions/${sessionId}/tokens?_clerk_session_id=${sessionId}`)).body.jwt).fva
  const removals: [() => Promise<string>, (id: string) => Promise<unknown>][] = [
    [
      async () => {
        const { secret } = (await call('POST', '/totp')).body.response
        await call('POST', '/totp/attempt_verification', { code: codeOf(secret) })
        return ''
      },
      () => call('DELETE', '/totp'),
    ],
    [
      () => secondFactorNumber(call),
      (id) => call('PATCH', `/phone_numbers/${id}`, { reserved_for_second_factor: 'false' }),
    ],
    [() => secondFactorNumber(call, '+12015550101'), (id) => call('DELETE', `/phone_numbers/${id}`)],
    [() => registerPasskey(call), (id) => call('DELETE', `/passkeys/${id}`)],
  ]
  for (const [add, remove] of removals) {
    const id = await add()
    await transaction(t.ctx(), (tx) =>
      tx.db.update(sessions).set({ secondFactorAt: new Date() }).where(eq(sessions.userId, userId)),
    )
    // Nothing announced that change: a harmless one does, so that the session is read again.
    await call('PATCH', '', { first_name: 'Ada' })
    expect((await fva())[1]).toBe(0)
    await remove(id)
    expect((await fva())[1]).toBe(-1)
  }
})

async function secondFactorNumber(call: Call, phoneNumber = '+12015550100'): Promise<string> {
  const { id } = (await call('POST', '/phone_numbers', { phone_number: phoneNumber })).body.response
  await call('POST', `/phone_numbers/${id}/prepare_verification`, { strategy: 'phone_code' })
  await call('POST', `/phone_numbers/${id}/attempt_verification`, { code: '424242' })
  await call('PATCH', `/phone_numbers/${id}`, { reserved_for_second_factor: 'true' })
  return id
}

async function registerPasskey(call: Call, device = new SoftwareAuthenticator()): Promise<string> {
  const { id, verification } = (await call('POST', '/passkeys')).body.response
  const credential = device.create(verification.nonce)
  await call('POST', `/passkeys/${id}/attempt_verification`, { strategy: 'passkey', public_key_credential: credential })
  return id
}

type Call = Awaited<ReturnType<typeof signedIn>>['call']

test('a phone number is added, proven by text, becomes a second factor and goes', async () => {
  const { t, call } = await signedIn()
  const added = await call('POST', '/phone_numbers', { phone_number: '+1 (415) 555-2671' })
  expect(added.body.response).toMatchObject({ phone_number: '+14155552671', verification: { status: 'unverified' } })
  const { id } = added.body.response
  const early = await call('PATCH', `/phone_numbers/${id}`, { reserved_for_second_factor: 'true' })
  expect(early.body.errors[0].code).toBe('verification_failed')
  const prepared = await call('POST', `/phone_numbers/${id}/prepare_verification`, { strategy: 'phone_code' })
  expect(prepared.body.response.verification).toMatchObject({
    status: 'unverified',
    strategy: 'phone_code',
    attempts: 0,
  })
  const [message] = await mailsTo(t, '+14155552671')
  const code = message?.text.match(/\b\d{6}\b/)?.[0] ?? ''
  const wrong = code === '000000' ? '111111' : '000000'
  const attempt = (typed: string) => call('POST', `/phone_numbers/${id}/attempt_verification`, { code: typed })
  expect((await attempt(wrong)).body.errors[0].code).toBe('form_code_incorrect')
  const proven = await attempt(code)
  expect(proven.body.response.verification.status).toBe('verified')
  expect(proven.body.client.sessions[0].user.primary_phone_number_id).toBe(id)
  const reserved = await call('PATCH', `/phone_numbers/${id}`, { reserved_for_second_factor: 'true' })
  expect(reserved.body.response).toMatchObject({ reserved_for_second_factor: true, default_second_factor: true })
  expect(reserved.body.response.backup_codes).toHaveLength(10)
  expect(reserved.body.client.sessions[0].user.two_factor_enabled).toBe(true)
  const second = await secondFactorNumber(call)
  const numbers = (await call('GET', '/phone_numbers')).body.response
  expect(numbers.map((n: { default_second_factor: boolean }) => n.default_second_factor)).toEqual([true, false])
  const moved = await call('PATCH', '', { primary_phone_number_id: second })
  expect(moved.body.response.primary_phone_number_id).toBe(second)
  await call('PATCH', '', { primary_phone_number_id: id })
  const preferred = await call('PATCH', `/phone_numbers/${second}`, { default_second_factor: 'true' })
  expect(preferred.body.response).toMatchObject({ default_second_factor: true })
  expect(preferred.body.response).not.toHaveProperty('backup_codes')
  expect((await call('GET', `/phone_numbers/${id}`)).body.response.default_second_factor).toBe(false)
  const gone = await call('DELETE', `/phone_numbers/${id}`)
  expect(gone.body.response).toEqual({ object: 'phone_number', id, deleted: true })
  expect(gone.body.client.sessions[0].user.primary_phone_number_id).toBe(second)
})

test('a number that somebody has proven cannot be proven again; a claim keeps nobody out', async () => {
  const { t, call } = await signedIn()
  const claimed = (await call('POST', '/phone_numbers', { phone_number: '+12015550100' })).body.response
  const bob = new TestBrowser(t)
  const { sessionId } = await bob.signUp('bob@example.com')
  const bobCalls: Call = (method, path, form) => bob.send(method, `/me${path}?_clerk_session_id=${sessionId}`, form)
  await secondFactorNumber(bobCalls)
  await call('POST', `/phone_numbers/${claimed.id}/prepare_verification`, { strategy: 'phone_code' })
  const late = await call('POST', `/phone_numbers/${claimed.id}/attempt_verification`, { code: '424242' })
  expect(late.body.errors[0]).toMatchObject({ code: 'form_identifier_exists', meta: { param_name: 'phone_number' } })
  for (const [method, path] of [
    ['GET', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['POST', '/prepare_verification'],
  ] as const)
    expect((await bobCalls(method, `/phone_numbers/${claimed.id}${path}`)).status).toBe(404)
})

test('factors that are switched off cannot be set up', async () => {
  const { call } = await signedIn({})
  for (const [path, form] of [
    ['/totp', {}],
    ['/backup_codes', {}],
    ['/passkeys', {}],
    ['/phone_numbers', { phone_number: '+12015550100' }],
  ] as [string, Record<string, string>][])
    expect([path, (await call('POST', path, form)).status]).toEqual([path, 403])
})

test('a passkey is registered from the application’s page, renamed and removed', async () => {
  const { call } = await signedIn()
  const begun = (await call('POST', '/passkeys')).body.response
  expect(begun).toMatchObject({ object: 'passkey', verification: { status: 'unverified', strategy: 'passkey' } })
  expect(JSON.parse(begun.verification.nonce)).toMatchObject({
    rp: { id: 'localhost' },
    user: { name: 'ada@example.com' },
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
  })
  const credential = new SoftwareAuthenticator().create(begun.verification.nonce)
  const path = `/passkeys/${begun.id}`
  const made = await call('POST', `${path}/attempt_verification`, { public_key_credential: credential })
  expect(made.body.response).toMatchObject({ id: begun.id, verification: { status: 'verified' } })
  expect(made.body.client.sessions[0].user.passkeys).toHaveLength(1)
  const renamed = await call('PATCH', path, { name: 'Laptop' })
  expect(renamed.body.response.name).toBe('Laptop')
  expect((await call('PATCH', path, { name: '' })).status).toBe(422)
  const gone = await call('DELETE', path)
  expect(gone.body.response).toEqual({ object: 'passkey', id: begun.id, deleted: true })
  expect((await call('DELETE', path)).status).toBe(404)
})

test('M10 another site’s page, or none, registers no passkey', async () => {
  const { t, userId, browser, call } = await signedIn()
  browser.origin = 'https://evil.test'
  expect((await call('POST', '/passkeys')).body.errors[0].code).toBe('origin_invalid')
  browser.origin = null
  expect((await call('POST', '/passkeys')).body.errors[0].code).toBe('origin_invalid')
  browser.origin = 'http://localhost:3000'
  const { id, verification } = (await call('POST', '/passkeys')).body.response
  const elsewhere = new SoftwareAuthenticator('https://evil.test').create(verification.nonce)
  const refused = await call('POST', `/passkeys/${id}/attempt_verification`, { public_key_credential: elsewhere })
  expect(refused.body.errors[0].code).toBe('passkey_invalid')
  expect((await getUser(t.ctx(), userId)).passkeys).toEqual([])
})

test('an application on several hosts below its home shares its passkeys, and names its other origins', async () => {
  const homeUrl = 'https://acme.example'
  const settings = {
    passkeys: { enabled: true },
    homeUrl,
    allowedOrigins: ['https://acme.test', 'https://app.acme.example'],
  }
  const { t, browser, call } = await signedIn(settings)
  const rpIdFrom = async (origin: string) => {
    browser.origin = origin
    const { nonce } = (await call('POST', '/passkeys')).body.response.verification
    return JSON.parse(nonce).rp.id
  }
  expect(await rpIdFrom('https://app.acme.example')).toBe('acme.example')
  expect(await rpIdFrom('https://acme.example')).toBe('acme.example')
  expect(await rpIdFrom('https://acme.test')).toBe('acme.test')
  const related = await t.fetch('/.well-known/webauthn')
  expect(await related.json()).toEqual({
    origins: ['https://acme.example', 'https://acme.test', 'https://app.acme.example'],
  })
  expect((await (await testInstance()).fetch('/.well-known/webauthn')).status).toBe(404)
})

test('a number that is the second factor is not the first one too', async () => {
  const { t, call } = await signedIn()
  await secondFactorNumber(call)
  const strategies = async () => {
    const { response } = (await new TestBrowser(t).post('/client/sign_ins', { identifier: 'ada@example.com' })).body
    return response.supported_first_factors.map((f: { strategy: string }) => f.strategy)
  }
  expect(await strategies()).toEqual(['password', 'email_code', 'reset_password_email_code'])
  await secondFactorNumber(call, '+12015550101')
  const [, second] = (await call('GET', '/phone_numbers')).body.response
  await call('PATCH', `/phone_numbers/${second.id}`, { reserved_for_second_factor: 'false' })
  expect(await strategies()).toContain('phone_code')
})

test('A10 the owner is told by email what was added and removed', async () => {
  const { t, call } = await signedIn()
  const { secret } = (await call('POST', '/totp')).body.response
  await call('POST', '/totp/attempt_verification', { code: codeOf(secret) })
  await call('DELETE', '/totp')
  const number = await secondFactorNumber(call)
  await call('PATCH', `/phone_numbers/${number}`, { reserved_for_second_factor: 'false' })
  await call('DELETE', `/passkeys/${await registerPasskey(call)}`)
  const told = (await mailsTo(t, 'ada@example.com')).filter((m) => /^(passkey|mfa)_/.test(m.template))
  expect(
    told.map((m) => `${m.template} ${m.text.match(/authenticator|text message/)?.[0] ?? ''}`.trim()).sort(),
  ).toEqual([
    'mfa_disabled authenticator',
    'mfa_disabled text message',
    'mfa_enabled authenticator',
    'mfa_enabled text message',
    'passkey_added',
    'passkey_removed',
  ])
})

test('M10 a session that has not shown a factor for long adds and removes none before it does', async () => {
  const { t, userId, sessionId, browser, call } = await signedIn()
  const number = await secondFactorNumber(call)
  const passkey = await registerPasskey(call)
  await transaction(t.ctx(), (tx) =>
    tx.db
      .update(sessions)
      .set({ firstFactorAt: new Date(Date.now() - 11 * 60_000) })
      .where(eq(sessions.userId, userId)),
  )
  // Nothing announced that change: a harmless one does, so that the session is read again.
  await call('PATCH', '', { first_name: 'Ada' })
  const steps: [string, string][] = [
    ['POST', '/passkeys'],
    ['DELETE', `/passkeys/${passkey}`],
    ['POST', '/totp'],
    ['DELETE', '/totp'],
    ['POST', '/backup_codes'],
    ['POST', '/phone_numbers'],
    ['PATCH', `/phone_numbers/${number}`],
    ['DELETE', `/phone_numbers/${number}`],
  ]
  for (const [method, path] of steps) {
    const { status, body } = await call(method, path, {})
    expect([method, path, status, body.errors[0].code]).toEqual([method, path, 403, 'session_reverification_required'])
  }
  const verify = `/client/sessions/${sessionId}/verify`
  await browser.post(verify, { level: 'first_factor' })
  const password = 'correct horse battery'
  await browser.post(`${verify}/attempt_first_factor`, { strategy: 'password', password })
  expect((await call('POST', '/passkeys')).status).toBe(200)
})
