import { expect, test } from 'bun:test'
import { HOTP, Secret } from 'otpauth'
import { confirmPasskey, startPasskey } from '../../domains/credentials/index.ts'
import { SoftwareAuthenticator } from '../../domains/credentials/testing.ts'
import { getUser } from '../../domains/users/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { mailsTo } from '../frontend/testing.ts'

const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'

async function call(t: TestInstance, method: string, path: string, body?: object) {
  const response = await t.fetch(`/v1${path}`, {
    method,
    secretKey: true,
    headers: { 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}

const codeOf = (steps = 0) =>
  HOTP.generate({ secret: Secret.fromBase32(secret), counter: Math.floor(Date.now() / 30_000) + steps })

/** Somebody with every factor, made by the application. */
async function withFactors() {
  const t = await testInstance()
  const made = await call(t, 'POST', '/users', {
    phone_number: ['+14155552671', '+14155552672'],
    totp_secret: secret,
    backup_codes: ['first-code', 'second-code'],
  })
  const userId: string = made.body.id
  const [number] = made.body.phone_numbers
  await call(t, 'PATCH', `/phone_numbers/${number.id}`, { reserved_for_second_factor: true })
  return { t, userId, user: made.body, number }
}

test('a user is created with numbers, an authenticator and backup codes', async () => {
  const { t, userId, user, number } = await withFactors()
  expect(user).toMatchObject({ totp_enabled: true, backup_code_enabled: true, two_factor_enabled: true })
  expect(user.primary_phone_number_id).toBe(number.id)
  expect(user.phone_numbers.map((n: { verification: { status: string } }) => n.verification.status)).toEqual([
    'verified',
    'verified',
  ])
  const verify = async (code: string) => (await call(t, 'POST', `/users/${userId}/verify_totp`, { code })).body
  const code = codeOf()
  expect(await verify(code)).toEqual({ verified: true, code_type: 'totp' })
  expect((await verify(code)).errors[0].code).toBe('form_code_incorrect')
  expect(await verify('FIRST code')).toEqual({ verified: true, code_type: 'backup_code' })
  expect((await verify('first-code')).errors[0].code).toBe('form_code_incorrect')
  const bad = await call(t, 'POST', '/users', { phone_number: ['+14155552673'], totp_secret: 'not base32' })
  expect(bad.body.errors[0]).toMatchObject({ code: 'form_param_format_invalid', meta: { param_name: 'totp_secret' } })
  const list = await call(t, 'GET', '/users?phone_number=%2B14155552673')
  expect(list.body).toEqual([])
})

test('A10 guesses through the application are counted, parallel ones too, and lock the account', async () => {
  const { t, userId } = await withFactors()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { lockout: { maxAttempts: 5 } })
  const guess = async (code: string) =>
    (await call(t, 'POST', `/users/${userId}/verify_totp`, { code })).body.errors?.[0].code
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => guess('000000')))
  expect(outcomes.filter((o) => o === 'form_code_incorrect').length).toBeLessThan(5)
  expect(outcomes.filter((o) => o === 'user_locked').length).toBeGreaterThan(25)
  expect(await guess(codeOf())).toBe('user_locked')
})

test('A10 guesses at a password through the application lock the account as well, and its owner is told once', async () => {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { lockout: { maxAttempts: 5 } })
  const password = 'correct horse battery'
  const address = 'ada@example.com'
  const { id: userId } = (await call(t, 'POST', '/users', { email_address: [address], password })).body
  const guess = async (typed: string) => {
    const { body } = await call(t, 'POST', `/users/${userId}/verify_password`, { password: typed })
    return body.errors?.[0].code ?? body
  }
  for (let i = 0; i < 3; i += 1) expect(await guess('wrong one')).toBe('form_password_incorrect')
  // A right one begins the count anew.
  expect(await guess(password)).toEqual({ verified: true })
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => guess('wrong one')))
  expect(outcomes.filter((o) => o === 'form_password_incorrect').length).toBeLessThan(5)
  expect(await guess(password)).toBe('user_locked')
  expect((await mailsTo(t, address)).filter((m) => m.template === 'account_locked')).toHaveLength(1)
  await call(t, 'POST', `/users/${userId}/unlock`)
  expect(await guess(password)).toEqual({ verified: true })
})

test('a password that the application sets is not one of the person’s identifiers', async () => {
  const t = await testInstance()
  const address = 'ada.lovelace@example.com'
  const refused = { errors: [{ code: 'form_password_matches_identifier', meta: { param_name: 'password' } }] }
  const make = (more: object) => call(t, 'POST', '/users', { email_address: [address], ...more })
  expect((await make({ password: address.toUpperCase() })).body).toMatchObject(refused)
  const { id } = (await make({ password: address, skip_password_checks: true })).body
  expect((await call(t, 'PATCH', `/users/${id}`, { password: address })).body).toMatchObject(refused)
  expect((await call(t, 'PATCH', `/users/${id}`, { password: 'correct horse battery' })).status).toBe(200)
  expect((await call(t, 'PATCH', '/users/user_x', { password: 'correct horse battery' })).status).toBe(404)
})

test('M7 all second factors are taken at once; numbers stay', async () => {
  const { t, userId, number } = await withFactors()
  expect((await call(t, 'DELETE', `/users/${userId}/mfa`)).body).toEqual({ user_id: userId })
  const { body } = await call(t, 'GET', `/users/${userId}`)
  expect(body).toMatchObject({ totp_enabled: false, backup_code_enabled: false, two_factor_enabled: false })
  expect(body.mfa_disabled_at).toBeNumber()
  const kept = body.phone_numbers.find((n: { id: string }) => n.id === number.id)
  expect(kept).toMatchObject({ reserved_for_second_factor: false, verification: { status: 'verified' } })
})

test('factors are taken one by one', async () => {
  const { t, userId } = await withFactors()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { passkeys: { enabled: true } })
  const party = { rpId: 'localhost', origins: ['http://localhost:3000'] }
  const begun = await startPasskey(t.ctx(), { userId, accountName: 'ada', displayName: 'Ada', ...party })
  const credential = new SoftwareAuthenticator().create(begun.optionsJson)
  await confirmPasskey(t.ctx(), { ...party, userId, id: begun.id, credential })
  expect((await call(t, 'DELETE', `/users/${userId}/backup_code`)).body).toEqual({ user_id: userId })
  expect((await call(t, 'DELETE', `/users/${userId}/totp`)).body).toEqual({ user_id: userId })
  expect((await call(t, 'DELETE', `/users/${userId}/totp`)).status).toBe(404)
  expect((await call(t, 'DELETE', `/users/${userId}/passkeys/${begun.id}`)).body).toEqual({
    object: 'passkey',
    id: begun.id,
    deleted: true,
  })
  const user = await getUser(t.ctx(), userId)
  // The number still is a second factor.
  expect(user).toMatchObject({ totpEnabled: false, backupCodeEnabled: false, passkeys: [], twoFactorEnabled: true })
  for (const path of ['mfa', 'totp', 'backup_code', 'passkeys/pkey_x'])
    expect([path, (await call(t, 'DELETE', `/users/user_x/${path}`)).status]).toEqual([path, 404])
})

test('phone numbers are made, proven, placed, replaced and removed', async () => {
  const t = await testInstance()
  const userId: string = (await call(t, 'POST', '/users', { external_id: 'x' })).body.id
  const make = (phone_number: unknown, more: object = {}) =>
    call(t, 'POST', '/phone_numbers', { user_id: userId, phone_number, ...more })
  const claimed = (await make('+14155552671')).body
  expect(claimed).toMatchObject({ object: 'phone_number', verification: { status: 'unverified' }, linked_to: [] })
  const proven = (await make('+14155552672', { verified: true, primary: true, reserved_for_second_factor: true })).body
  expect(proven).toMatchObject({
    reserved_for_second_factor: true,
    default_second_factor: true,
    verification: { status: 'verified', strategy: 'admin' },
  })
  expect((await make('+14155552672')).body.errors[0].code).toBe('form_identifier_exists')
  expect((await make('12')).body.errors[0].code).toBe('form_param_format_invalid')
  const both = { verified: true, primary: true }
  expect((await call(t, 'PATCH', `/phone_numbers/${claimed.id}`, both)).body.verification.status).toBe('verified')
  expect((await call(t, 'GET', `/users/${userId}`)).body.primary_phone_number_id).toBe(claimed.id)
  const doubted = await call(t, 'PATCH', `/phone_numbers/${proven.id}`, { verified: false })
  expect(doubted.body).toMatchObject({ reserved_for_second_factor: false, verification: { status: 'unverified' } })
  expect((await getUser(t.ctx(), userId)).twoFactorEnabled).toBe(false)
  expect((await call(t, 'GET', `/phone_numbers/${proven.id}`)).body.id).toBe(proven.id)
  expect((await call(t, 'DELETE', `/phone_numbers/${proven.id}`)).body).toMatchObject({ id: proven.id, deleted: true })
  expect((await call(t, 'DELETE', `/phone_numbers/${claimed.id}`)).body.errors[0].code).toBe(
    'identification_deletion_failed',
  )
  const replaced = await call(t, 'PUT', `/users/${userId}/phone_number`, { phone_number: '+14155552673' })
  const user = (await call(t, 'GET', `/users/${userId}`)).body
  expect(user.phone_numbers.map((n: { id: string }) => n.id)).toEqual([replaced.body.id])
  expect(user.primary_phone_number_id).toBe(replaced.body.id)
})

test('another instance’s numbers and factors do not exist', async () => {
  const { userId, number } = await withFactors()
  const other = await testInstance()
  expect((await call(other, 'GET', `/phone_numbers/${number.id}`)).status).toBe(404)
  expect((await call(other, 'DELETE', `/users/${userId}/mfa`)).status).toBe(404)
  expect((await call(other, 'POST', `/users/${userId}/verify_totp`, { code: codeOf() })).status).toBe(404)
})
