import { expect, test } from 'bun:test'
import { Secret, TOTP } from 'otpauth'
import { transaction } from '../../database/index.ts'
import { createBackupCodes, importTotp } from '../../domains/credentials/index.ts'
import { addPhoneNumber, setPhoneSecondFactor } from '../../domains/users/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { claimsOf, mailedCode, mailsTo, TestBrowser } from './testing.ts'

const ada = 'ada@example.com'
const password = 'correct horse battery'
const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'

/** An instance with Ada signed in, and the server's clock that can be moved on. */
async function withAda(settings: object = {}) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    rateLimits: { attemptsPerMinute: 100_000 },
    ...settings,
  })
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp(ada, password)
  return { t, browser, userId, sessionId, path: `/client/sessions/${sessionId}/verify` }
}
async function later<T>(t: TestInstance, minutes: number, work: () => Promise<T>): Promise<T> {
  t.server.runtime.now = () => new Date(Date.now() + minutes * 60_000)
  try {
    return await work()
  } finally {
    t.server.runtime.now = () => new Date()
  }
}
const codeOf = (answer: { body: { errors?: { code: string }[] } }) => answer.body.errors?.[0]?.code

test('C13 sensitive steps in a session whose last proof is old are refused, and go through after a proof', async () => {
  const { t, browser, userId, path } = await withAda()
  const other = new TestBrowser(t)
  const elsewhere = await other.post('/client/sign_ins', { identifier: ada, password })
  const otherId = elsewhere.body.response.created_session_id
  const steps: [string, string, Record<string, string>][] = [
    ['POST', '/me/email_addresses', { email_address: 'other@example.com' }],
    ['POST', '/me/change_password', { current_password: password, new_password: 'another good passphrase' }],
    ['POST', '/me/remove_password', { current_password: password }],
    ['POST', '/me/totp', {}],
    ['POST', '/me/backup_codes', {}],
    ['POST', '/me/passkeys', {}],
    ['POST', '/me/phone_numbers', { phone_number: '+12025550188' }],
    ['POST', '/me/external_accounts', { strategy: 'oauth_google' }],
    ['POST', `/me/sessions/${otherId}/revoke`, {}],
    ['DELETE', '/me', {}],
  ]
  await later(t, 11, async () => {
    for (const [method, where, form] of steps) {
      const answer = await browser.send(method, where, form)
      expect({ where, status: answer.status, code: codeOf(answer) }).toEqual({
        where,
        status: 403,
        code: 'session_reverification_required',
      })
    }
    expect((await browser.send('PATCH', '/me', { first_name: 'Ada' })).status).toBe(200)
    const begun = await browser.post(path, { level: 'second_factor' })
    // There is no second factor, so that the first one is asked for.
    expect(begun.body.response).toMatchObject({
      status: 'needs_first_factor',
      level: 'first_factor',
      session: { user: { id: userId } },
    })
    const wrong = await browser.post(`${path}/attempt_first_factor`, { strategy: 'password', password: 'wrong one' })
    expect({ status: wrong.status, code: codeOf(wrong) }).toEqual({ status: 422, code: 'form_password_incorrect' })
    const done = await browser.post(`${path}/attempt_first_factor`, { strategy: 'password', password })
    expect(done.body.response).toMatchObject({ status: 'complete', session: { factor_verification_age: [0, -1] } })
    expect(claimsOf(done.body.client.sessions[0].last_active_token.jwt).fva).toEqual([0, -1])
    expect((await browser.post('/me/email_addresses', { email_address: 'other@example.com' })).status).toBe(200)
    expect((await browser.post(`/me/sessions/${otherId}/revoke`)).status).toBe(200)
  })
})

test('a code proves it as well; its guesses end, and a code of a sign-in is none', async () => {
  const { t, browser, path } = await withAda()
  await browser.post(path, { level: 'first_factor' })
  const early = await browser.post(`${path}/attempt_first_factor`, { strategy: 'email_code', code: '000000' })
  expect(codeOf(early)).toBe('verification_failed')
  const prepared = await browser.post(`${path}/prepare_first_factor`, { strategy: 'email_code' })
  expect(prepared.body.response.first_factor_verification).toMatchObject({
    strategy: 'email_code',
    status: 'unverified',
  })
  const code = await mailedCode(t, ada)
  const other = new TestBrowser(t)
  await other.post('/client/sign_ins', { identifier: ada, strategy: 'email_code' })
  const foreign = await mailedCode(t, ada)
  if (foreign !== code)
    expect(codeOf(await browser.post(`${path}/attempt_first_factor`, { strategy: 'email_code', code: foreign }))).toBe(
      'form_code_incorrect',
    )
  const done = await browser.post(`${path}/attempt_first_factor`, { strategy: 'email_code', code })
  expect(done.body.response.status).toBe('complete')

  await browser.post(path, {})
  const guesses = await Promise.all(
    Array.from({ length: 12 }, () =>
      browser.post(`${path}/attempt_first_factor`, { strategy: 'password', password: 'wrong' }),
    ),
  )
  expect(guesses.filter((g) => codeOf(g) === 'form_password_incorrect')).toHaveLength(5)
  expect(codeOf(await browser.post(`${path}/attempt_first_factor`, { strategy: 'password', password }))).toBe(
    'verification_failed',
  )
})

test('both factors are asked for where both are wanted, and nobody verifies for another browser', async () => {
  const { t, browser, userId, path } = await withAda({ secondFactors: { totp: true, backupCodes: true } })
  await transaction(t.ctx(), (tx) => importTotp(tx, { userId, secret }))
  const { codes } = await createBackupCodes(t.ctx(), { userId })
  const stranger = new TestBrowser(t)
  await stranger.signUp('bob@example.com', password)
  expect((await stranger.post(path, { level: 'first_factor' })).status).toBe(404)
  await browser.post(path, { level: 'multi_factor' })
  expect(codeOf(await browser.post(`${path}/attempt_second_factor`, { strategy: 'totp', code: '000000' }))).toBe(
    'verification_already_verified',
  )
  const half = await browser.post(`${path}/attempt_first_factor`, { strategy: 'password', password })
  expect(half.body.response.status).toBe('needs_second_factor')
  const code = new TOTP({ secret: Secret.fromBase32(secret) }).generate()
  const done = await browser.post(`${path}/attempt_second_factor`, { strategy: 'totp', code })
  expect(done.body.response).toMatchObject({ status: 'complete', session: { factor_verification_age: [0, 0] } })
  await browser.post(path, { level: 'second_factor' })
  const byBackup = await browser.post(`${path}/attempt_second_factor`, {
    strategy: 'backup_code',
    code: codes[0] ?? '',
  })
  expect(byBackup.body.response.status).toBe('complete')
  await browser.post(path, { level: 'second_factor' })
  await later(t, 11, async () => {
    const late = await browser.post(`${path}/attempt_second_factor`, { strategy: 'backup_code', code: codes[1] ?? '' })
    expect(codeOf(late)).toBe('verification_expired')
  })
})

test('a number that was set up receives the code of a confirmation, and no other number does', async () => {
  const { t, browser, userId, path } = await withAda({
    phoneNumber: { use: 'optional' },
    secondFactors: { phoneCode: true },
  })
  const number = await addPhoneNumber(t.ctx(), { userId, phoneNumber: '+12025550142', verifiedBy: 'admin' })
  await setPhoneSecondFactor(t.ctx(), { id: number.id, reservedForSecondFactor: true })
  const plain = await addPhoneNumber(t.ctx(), { userId, phoneNumber: '+12025550143', verifiedBy: 'admin' })
  await browser.post(path, { level: 'second_factor' })
  const prepare = (id: string) =>
    browser.post(`${path}/prepare_second_factor`, { strategy: 'phone_code', phone_number_id: id })
  expect((await prepare(plain.id)).status).toBe(422)
  const prepared = await prepare(number.id)
  expect(prepared.body.response.second_factor_verification).toMatchObject({
    strategy: 'phone_code',
    status: 'unverified',
  })
  const [text] = await mailsTo(t, '+12025550142')
  const attempt = { strategy: 'phone_code', code: text?.text.match(/\b\d{6}\b/)?.[0] ?? '424242' }
  const done = await browser.post(`${path}/attempt_second_factor`, attempt)
  expect(done.body.response).toMatchObject({ status: 'complete', session: { factor_verification_age: [0, 0] } })
})

test('where a second factor is demanded, a session counts only once one is set up', async () => {
  const { t, browser, userId, sessionId } = await withAda({ secondFactors: { totp: true, required: true } })
  const [session] = (await browser.get('/client')).body.response.sessions
  expect(session).toMatchObject({ status: 'pending', tasks: [{ key: 'setup-mfa' }] })
  expect(claimsOf(session.last_active_token.jwt).sts).toBe('pending')
  await transaction(t.ctx(), (tx) => importTotp(tx, { userId, secret }))
  const [ready] = (await browser.get('/client')).body.response.sessions
  expect(ready).toMatchObject({ status: 'active', tasks: null })
  const { body } = await browser.post(`/client/sessions/${sessionId}/tokens`)
  expect(claimsOf(body.jwt).sts).toBe('active')
})

test('a password that is known to others signs nobody in, and is replaced before anything else', async () => {
  const { t, userId } = await withAda()
  await t.fetch(`/v1/users/${userId}/password/set_compromised`, { method: 'POST', secretKey: true })
  const browser = new TestBrowser(t)
  const refused = await browser.post('/client/sign_ins', { identifier: ada, password })
  expect({ status: refused.status, code: codeOf(refused) }).toEqual({ status: 422, code: 'form_password_compromised' })
  expect(codeOf(await browser.post('/client/sign_ins', { identifier: ada, password: 'wrong one' }))).toBe(
    'form_password_incorrect',
  )
  const begun = await browser.post('/client/sign_ins', { identifier: ada, strategy: 'email_code' })
  const attempt = { strategy: 'email_code', code: await mailedCode(t, ada) }
  const signedIn = await browser.post(`/client/sign_ins/${begun.body.response.id}/attempt_first_factor`, attempt)
  expect(signedIn.body.client.sessions[0]).toMatchObject({ status: 'pending', tasks: [{ key: 'reset-password' }] })
  const same = await browser.post('/me/change_password', { new_password: password })
  expect(codeOf(same)).toBe('form_new_password_matches_current')
  const changed = await browser.post('/me/change_password', { new_password: 'another good passphrase' })
  expect(changed.body.client.sessions[0]).toMatchObject({ status: 'active', tasks: null })
  const again = await new TestBrowser(t).post('/client/sign_ins', {
    identifier: ada,
    password: 'another good passphrase',
  })
  expect(again.body.response.status).toBe('complete')
})
