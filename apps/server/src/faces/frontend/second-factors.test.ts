import { expect, test } from 'bun:test'
import { Secret, TOTP } from 'otpauth'
import { transaction } from '../../database/index.ts'
import { createBackupCodes, importTotp } from '../../domains/credentials/index.ts'
import { addPhoneNumber, deleteEmailAddress, getUser, setPhoneSecondFactor } from '../../domains/users/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { claimsOf, mailedCode, mailsTo, TestBrowser } from './testing.ts'

const ada = 'ada@example.com'
const password = 'correct horse battery'
const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'
const phoneNumber = '+12025550142'

/** The code of the authenticator, some steps from now. */
const codeAt = (t: TestInstance, steps = 0) =>
  new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: t.ctx().now().getTime() + steps * 30_000 })

async function withAda(settings: object = {}) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    rateLimits: { attemptsPerMinute: 100_000 },
    secondFactors: { totp: true, phoneCode: true, backupCodes: true },
    ...settings,
  })
  const { userId } = await new TestBrowser(t).signUp(ada, password)
  return { t, userId, browser: new TestBrowser(t) }
}
async function withTotp(settings: object = {}) {
  const made = await withAda(settings)
  await transaction(made.t.ctx(), (tx) => importTotp(tx, { userId: made.userId, secret }))
  return made
}
const signIn = (browser: TestBrowser, form: Record<string, string> = { identifier: ada, password }) =>
  browser.post('/client/sign_ins', form).then(({ body }) => body.response)
const second = (browser: TestBrowser, id: string, form: Record<string, string>) =>
  browser.post(`/client/sign_ins/${id}/attempt_second_factor`, form)

test('a password alone is half of a sign-in for whoever has an authenticator', async () => {
  const { t, browser } = await withTotp()
  const begun = await signIn(browser)
  expect(begun).toMatchObject({ status: 'needs_second_factor', created_session_id: null })
  expect(begun.supported_second_factors).toEqual([{ strategy: 'totp' }])
  expect((await browser.get('/client')).body.response.sessions).toEqual([])
  const wrong = await second(browser, begun.id, { strategy: 'totp', code: '000000' })
  expect({ status: wrong.status, error: wrong.body.errors[0].code }).toEqual({
    status: 422,
    error: 'form_code_incorrect',
  })
  const done = await second(browser, begun.id, { strategy: 'totp', code: codeAt(t) })
  expect(done.body.response).toMatchObject({ status: 'complete' })
  const { jwt } = done.body.client.sessions[0].last_active_token
  expect(claimsOf(jwt).fva).toEqual([0, 0])
  // Nothing else opens at this stage: the first factor is over, and so is the sign-in now.
  for (const step of ['attempt_first_factor', 'prepare_first_factor', 'prepare_second_factor', 'attempt_second_factor'])
    expect((await browser.post(`/client/sign_ins/${begun.id}/${step}`, { strategy: 'totp', code: '1' })).status).toBe(
      400,
    )
})

test('M1 a code that signed in once signs in no second time, and one of twenty at once does', async () => {
  const { t, browser } = await withTotp()
  const code = codeAt(t)
  const first = await signIn(browser)
  expect((await second(browser, first.id, { strategy: 'totp', code })).body.response.status).toBe('complete')
  const other = new TestBrowser(t)
  const again = await signIn(other)
  expect((await second(other, again.id, { strategy: 'totp', code })).body.errors[0].code).toBe('form_code_incorrect')

  const next = codeAt(t, 1)
  const browsers = Array.from({ length: 20 }, () => new TestBrowser(t))
  const ids: string[] = []
  for (const each of browsers) ids.push((await signIn(each)).id)
  const answers = await Promise.all(
    browsers.map((each, i) => second(each, ids[i] as string, { strategy: 'totp', code: next })),
  )
  expect(answers.filter((a) => a.status === 200)).toHaveLength(1)
})

test('M2 codes of two steps before or after now are refused', async () => {
  const { t, browser } = await withTotp()
  for (const steps of [-5, -2, 2, 5]) {
    const { id } = await signIn(browser)
    expect((await second(browser, id, { strategy: 'totp', code: codeAt(t, steps) })).status).toBe(422)
  }
})

test('A10 a sign-in stands five guesses, also in parallel, and all of them count against the account', async () => {
  const { t, browser, userId } = await withTotp({ lockout: { maxAttempts: 12, minutes: 60 } })
  const live = new TestBrowser(t)
  const { id: liveId } = await signIn(live)
  expect((await second(live, liveId, { strategy: 'totp', code: codeAt(t, -1) })).status).toBe(200)

  const { id } = await signIn(browser)
  const guesses = await Promise.all(
    Array.from({ length: 20 }, (_, i) => second(browser, id, { strategy: 'totp', code: String(100_000 + i) })),
  )
  const codes = guesses.map((g) => g.body.errors[0].code)
  expect(codes.filter((c) => c === 'form_code_incorrect')).toHaveLength(5)
  expect(codes.filter((c) => c === 'verification_failed')).toHaveLength(15)
  expect((await second(browser, id, { strategy: 'totp', code: codeAt(t) })).body.errors[0].code).toBe(
    'verification_failed',
  )

  // A new challenge brings five more, until the account's own count locks it.
  let locked = ''
  for (let round = 0; round < 4 && locked === ''; round += 1) {
    const { body } = await browser.post('/client/sign_ins', { identifier: ada, password })
    if (body.errors) locked = body.errors[0].code
    else
      for (let i = 0; i < 5; i += 1)
        await second(browser, body.response.id, { strategy: 'backup_code', code: `guess-${round}-${i}` }).then(() =>
          second(browser, body.response.id, { strategy: 'totp', code: '000000' }),
        )
  }
  expect(locked).toBe('user_locked')
  const refused = await new TestBrowser(t).post('/client/sign_ins', { identifier: ada, password })
  expect(refused.body.errors[0]).toMatchObject({ code: 'user_locked' })
  expect(refused.body.errors[0].meta.lockout_expires_in_seconds).toBeWithin(3500, 3601)
  // Whoever was signed in stays so: guessing must not be a way to sign others out.
  const token = await live.post(`/client/sessions/${(await live.get('/client')).body.response.sessions[0].id}/tokens`)
  expect(token.status).toBe(200)
  t.advance(61 * 60_000)
  expect((await getUser(t.ctx(), userId)).lockedUntil?.getTime()).toBeLessThan(t.ctx().now().getTime())
})

test('A10 wrong passwords lock an account as well, and the right one does not open it then', async () => {
  const { browser } = await withAda({ lockout: { maxAttempts: 5, minutes: 60 } })
  const tries = []
  for (let i = 0; i < 5; i += 1)
    tries.push((await browser.post('/client/sign_ins', { identifier: ada, password: 'wrong one' })).body.errors[0].code)
  expect(tries).toEqual(Array(5).fill('form_password_incorrect'))
  for (const attempt of [password, 'wrong one']) {
    const { body } = await browser.post('/client/sign_ins', { identifier: ada, password: attempt })
    expect(body.errors[0].code).toBe('user_locked')
  }
})

test('A11 a code that was sent before the account was locked or banned opens nothing', async () => {
  for (const verb of ['lock', 'ban']) {
    const { t, browser, userId } = await withAda()
    const begun = await signIn(browser, { identifier: ada, strategy: 'email_code' })
    const code = await mailedCode(t, ada)
    await t.fetch(`/v1/users/${userId}/${verb}`, { method: 'POST', secretKey: true })
    const path = `/client/sign_ins/${begun.id}/attempt_first_factor`
    const { status, body } = await browser.post(path, { strategy: 'email_code', code })
    expect({ status, code: body.errors[0].code }).toEqual({
      status: 403,
      code: verb === 'ban' ? 'user_banned' : 'user_locked',
    })
  }
})

test('A17 a code to an address that is no longer theirs opens nothing', async () => {
  const { t, browser, userId } = await withAda()
  const post = (path: string, body: object) =>
    t.fetch(path, {
      method: 'POST',
      secretKey: true,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const old = 'old@example.com'
  await post('/v1/email_addresses', { user_id: userId, email_address: old, verified: true })
  for (const strategy of ['email_code', 'reset_password_email_code']) {
    const begun = await signIn(browser, { identifier: old, strategy })
    expect(begun.first_factor_verification.status).toBe('unverified')
    const code = await mailedCode(t, old)
    const [address] = (await getUser(t.ctx(), userId)).emailAddresses.filter((e) => e.emailAddress === old)
    await deleteEmailAddress(t.ctx(), address?.id ?? '')
    const path = `/client/sign_ins/${begun.id}/attempt_first_factor`
    expect((await browser.post(path, { strategy, code })).body.errors[0].code).toBe('verification_failed')
    await post('/v1/email_addresses', { user_id: userId, email_address: old, verified: true })
  }
})

test('M4 a reset of the password still asks for the second factor', async () => {
  const { t, browser } = await withTotp()
  const begun = await signIn(browser, { identifier: ada, strategy: 'reset_password_email_code' })
  const path = `/client/sign_ins/${begun.id}`
  const code = await mailedCode(t, ada)
  await browser.post(`${path}/attempt_first_factor`, { strategy: 'reset_password_email_code', code })
  const reset = await browser.post(`${path}/reset_password`, { password: 'another good passphrase' })
  expect(reset.body.response).toMatchObject({ status: 'needs_second_factor', created_session_id: null })
  const again = await browser.post(`${path}/reset_password`, { password: 'yet another passphrase' })
  expect(again.body.errors[0].code).toBe('token_used')
  const done = await second(browser, begun.id, { strategy: 'totp', code: codeAt(t) })
  expect(done.body.response.status).toBe('complete')
})

test('M5 a challenge that is over opens nothing, and twenty answers at once make one session', async () => {
  const { t, browser, userId } = await withTotp()
  const stale = await signIn(browser)
  t.server.runtime.now = () => new Date(Date.now() + 25 * 3600_000)
  try {
    expect((await second(browser, stale.id, { strategy: 'totp', code: '000000' })).status).toBe(400)
  } finally {
    t.server.runtime.now = () => new Date()
  }
  const codes = (await createBackupCodes(t.ctx(), { userId })).codes
  const { id } = await signIn(browser)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      second(browser, id, { strategy: 'backup_code', code: codes[i % 3] as string }),
    ),
  )
  expect(answers.filter((a) => a.status === 200)).toHaveLength(1)
  expect((await browser.get('/client')).body.response.sessions).toHaveLength(1)
})

test('M8 a backup code works once; guesses count', async () => {
  const { t, browser, userId } = await withTotp()
  const [code = ''] = (await createBackupCodes(t.ctx(), { userId })).codes
  const first = await signIn(browser)
  expect(first.supported_second_factors).toEqual([{ strategy: 'totp' }, { strategy: 'backup_code' }])
  expect((await second(browser, first.id, { strategy: 'backup_code', code })).status).toBe(200)
  const other = new TestBrowser(t)
  const again = await signIn(other)
  expect((await second(other, again.id, { strategy: 'backup_code', code })).body.errors[0].code).toBe(
    'form_code_incorrect',
  )
})

test('a number that was set up receives the code of the second factor, masked on the page', async () => {
  const { t, browser, userId } = await withAda({ phoneNumber: { use: 'optional' } })
  const number = await addPhoneNumber(t.ctx(), { userId, phoneNumber, verifiedBy: 'admin' })
  await setPhoneSecondFactor(t.ctx(), { id: number.id, reservedForSecondFactor: true })
  const begun = await signIn(browser)
  expect(begun.supported_second_factors).toMatchObject([{ strategy: 'phone_code', phone_number_id: number.id }])
  expect(begun.supported_second_factors[0].safe_identifier).not.toBe(phoneNumber)
  const path = `/client/sign_ins/${begun.id}/prepare_second_factor`
  const early = await second(browser, begun.id, { strategy: 'phone_code', code: '424242' })
  expect(early.body.errors[0].code).toBe('verification_failed')
  const sent = await browser.post(path, { strategy: 'phone_code', phone_number_id: number.id })
  expect(sent.body.response.second_factor_verification).toMatchObject({ strategy: 'phone_code', status: 'unverified' })
  const [text] = await mailsTo(t, phoneNumber)
  const code = text?.text.match(/\b\d{6}\b/)?.[0] ?? '424242'
  expect((await second(browser, begun.id, { strategy: 'phone_code', code })).body.response.status).toBe('complete')
})

test('an unknown device with the right password needs the mailbox; then it is known, and new ones are told about', async () => {
  const { t, browser } = await withAda({ clientTrust: true, secondFactors: {} })
  const begun = await signIn(browser)
  expect(begun).toMatchObject({ status: 'needs_client_trust', client_trust_state: 'pending', created_session_id: null })
  expect(begun.supported_second_factors).toMatchObject([{ strategy: 'email_code', safe_identifier: ada }])
  await browser.post(`/client/sign_ins/${begun.id}/prepare_second_factor`, { strategy: 'email_code' })
  const code = await mailedCode(t, ada)
  const done = await second(browser, begun.id, { strategy: 'email_code', code })
  expect(done.body.response.status).toBe('complete')
  expect(claimsOf(done.body.client.sessions[0].last_active_token.jwt).fva).toEqual([0, -1])
  expect((await mailsTo(t, ada))[0]?.template).toBe('new_device_sign_in')
  await browser.send('DELETE', '/client/sessions')
  expect((await signIn(browser)).status).toBe('complete')
  // A code proves the mailbox by itself.
  const byCode = new TestBrowser(t)
  const { id } = await signIn(byCode, { identifier: ada, strategy: 'email_code' })
  const attempt = { strategy: 'email_code', code: await mailedCode(t, ada) }
  expect((await byCode.post(`/client/sign_ins/${id}/attempt_first_factor`, attempt)).body.response.status).toBe(
    'complete',
  )
})

test('M16 a device that knows one person is new to another, and after a new password to all', async () => {
  const { t, browser } = await withAda({ clientTrust: true, secondFactors: {} })
  const bob = new TestBrowser(t)
  await bob.signUp('bob@example.com', password)
  await bob.send('DELETE', '/client/sessions')
  expect((await signIn(bob, { identifier: 'bob@example.com', password })).status).toBe('complete')
  await bob.send('DELETE', '/client/sessions')
  expect((await signIn(bob)).status).toBe('needs_client_trust')
  // Ada resets her password elsewhere: what Bob's device was for Bob is untouched, hers begin anew.
  const begun = await signIn(browser, { identifier: ada, strategy: 'reset_password_email_code' })
  const code = await mailedCode(t, ada)
  const path = `/client/sign_ins/${begun.id}`
  await browser.post(`${path}/attempt_first_factor`, { strategy: 'reset_password_email_code', code })
  const fresh = 'another good passphrase'
  expect((await browser.post(`${path}/reset_password`, { password: fresh })).body.response.status).toBe('complete')
  const elsewhere = new TestBrowser(t)
  expect((await signIn(elsewhere, { identifier: ada, password: fresh })).status).toBe('needs_client_trust')
})
