import { expect, test } from 'bun:test'
import { addBlocklistIdentifier } from '../../domains/restrictions/index.ts'
import { addPhoneNumber, updateUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { mailedCode, mailsTo, TestBrowser } from './testing.ts'

const ada = 'ada@example.com'
const password = 'correct horse battery'
const phoneNumber = '+12025550143'

async function withAda(settings: object = {}) {
  const t = await testInstance()
  const change = (more: object) => t.server.runtime.instances.changeSettings(t.ctx().instance.id, more)
  await change({ rateLimits: { attemptsPerMinute: 100_000 } })
  const { userId } = await new TestBrowser(t).signUp(ada, password)
  await addPhoneNumber(t.ctx(), { userId, phoneNumber, verifiedBy: 'admin' })
  await updateUser(t.ctx(), { id: userId, username: 'Ada_L' })
  await change(settings)
  return { t, userId, browser: new TestBrowser(t), change }
}
const everything = { phoneNumber: { use: 'optional' }, username: { use: 'optional' } }

test('one signs in by address, number or username, however it is spelled, and only by what is switched on', async () => {
  const { t, browser, change } = await withAda()
  for (const identifier of [phoneNumber, 'ada_l']) {
    const { status, body } = await browser.post('/client/sign_ins', { identifier, password })
    expect({ status, code: body.errors[0].code }).toEqual({ status: 422, code: 'form_param_format_invalid' })
  }
  await change(everything)
  for (const identifier of [' ADA@example.com', '+1 (202) 555-0143', 'ada_l']) {
    const signedIn = new TestBrowser(t)
    const { body } = await signedIn.post('/client/sign_ins', { identifier, password })
    expect(body.response.status).toBe('complete')
  }
  await change({ emailAddress: { signIn: false } })
  const { body } = await browser.post('/client/sign_ins', { identifier: ada, password })
  expect(body.errors[0]).toMatchObject({ code: 'form_param_format_invalid', meta: { param_name: 'identifier' } })
  expect(body.errors[0].message).toBe('Enter a valid phone number or username.')
})

test('what was typed is shown as it was typed, everything else of the person masked', async () => {
  const { browser } = await withAda(everything)
  const { body } = await browser.post('/client/sign_ins', { identifier: 'ada_l' })
  const factors = body.response.supported_first_factors
  expect(body.response.supported_identifiers).toEqual(['email_address', 'phone_number', 'username'])
  expect(JSON.stringify(factors)).not.toContain(ada)
  expect(JSON.stringify(factors)).not.toContain(phoneNumber)
  const typed = await browser.post('/client/sign_ins', { identifier: phoneNumber })
  const byPhone = typed.body.response.supported_first_factors.find(
    (f: { strategy: string }) => f.strategy === 'phone_code',
  )
  expect(byPhone.safe_identifier).toBe(phoneNumber)
})

test('a texted code signs in and resets a password', async () => {
  const { t, browser } = await withAda(everything)
  const begun = await browser.post('/client/sign_ins', { identifier: phoneNumber, strategy: 'phone_code' })
  expect(begun.body.response.first_factor_verification).toMatchObject({ strategy: 'phone_code', status: 'unverified' })
  const path = `/client/sign_ins/${begun.body.response.id}`
  // The code of one strategy opens no other.
  const crossed = await browser.post(`${path}/attempt_first_factor`, { strategy: 'email_code', code: '424242' })
  expect(crossed.body.errors[0].code).toBe('verification_failed')
  const done = await browser.post(`${path}/attempt_first_factor`, { strategy: 'phone_code', code: '424242' })
  expect(done.body.response.status).toBe('complete')

  const other = new TestBrowser(t)
  const strategy = 'reset_password_phone_code'
  const reset = await other.post('/client/sign_ins', { identifier: phoneNumber, strategy })
  const resetPath = `/client/sign_ins/${reset.body.response.id}`
  const right = await other.post(`${resetPath}/attempt_first_factor`, { strategy, code: '424242' })
  expect(right.body.response.status).toBe('needs_new_password')
  const fresh = await other.post(`${resetPath}/reset_password`, { password: 'another good passphrase' })
  expect(fresh.body.response.status).toBe('complete')
})

test('A13 nobody signs in by an id of ours or of the application’s, and all of them answer alike', async () => {
  const { t, browser, userId } = await withAda(everything)
  await updateUser(t.ctx(), { id: userId, externalId: 'crm-4711' })
  for (const identifier of [userId, 'user_', 'crm-4711', 'user_0000000000000000000000000000']) {
    const { status, body } = await browser.post('/client/sign_ins', { identifier, password })
    expect({ status, code: body.errors[0].code }).toEqual({ status: 422, code: 'form_identifier_not_found' })
  }
})

test('where the instance does not tell, an unknown address looks like a known one at every step', async () => {
  const { t, browser } = await withAda({ enumerationProtection: true })
  const unknown = 'nobody@example.com'
  const shape = async (identifier: string) => {
    const { status, body } = await browser.post('/client/sign_ins', { identifier })
    const { supported_first_factors: factors, user_data, first_factor_verification } = body.response
    const wrong = await browser.post('/client/sign_ins', { identifier, password: 'a wrong password' })
    const sent = await browser.post('/client/sign_ins', { identifier, strategy: 'email_code' })
    const path = `/client/sign_ins/${sent.body.response.id}/attempt_first_factor`
    const guessed = await browser.post(path, { strategy: 'email_code', code: '000000' })
    const resetting = await browser.post('/client/sign_ins', { identifier, strategy: 'reset_password_email_code' })
    return {
      answer: { status, user_data, first_factor_verification },
      factors: factors.map((f: Record<string, unknown>) => Object.keys(f).join()),
      safe: factors.map((f: { safe_identifier?: string }) => f.safe_identifier === identifier),
      wrong: { status: wrong.status, error: wrong.body.errors[0].code, message: wrong.body.errors[0].message },
      sent: Object.keys(sent.body.response.first_factor_verification).join(),
      guessed: { status: guessed.status, error: guessed.body.errors[0].code },
      resetting: resetting.body.response.first_factor_verification.status,
    }
  }
  expect(await shape(unknown)).toEqual(await shape(ada))
  expect(await mailsTo(t, unknown)).toEqual([])
  // The made-up ids stay the same, as real ones do, and are nobody else's.
  const idOf = async (identifier: string) =>
    (await browser.post('/client/sign_ins', { identifier })).body.response.supported_first_factors[1].email_address_id
  expect(await idOf(unknown)).toBe(await idOf(unknown))
  expect(await idOf(unknown)).not.toBe(await idOf('somebody@example.com'))
  expect(await idOf(unknown)).toMatch(/^idn_\w{27}$/)
})

test('where the instance does not tell, answers leave at steps of time that hide what was read and counted', async () => {
  const { t } = await withAda({ enumerationProtection: true })
  const times: number[] = []
  for (const identifier of [ada, 'nobody@example.com'])
    for (const form of [{}, { password: 'a wrong password' }, { strategy: 'email_code' }] as Record<string, string>[])
      for (let i = 0; i < 3; i += 1) {
        const startedAt = performance.now()
        await new TestBrowser(t).post('/client/sign_ins', { identifier, ...form })
        times.push(performance.now() - startedAt)
      }
  // None comes before the first step. A question without a password takes a fifth of that.
  expect(Math.min(...times)).toBeGreaterThan(49)
})

test('an unknown address that is to be signed up is proven first, and is then transferable', async () => {
  const { t, browser } = await withAda()
  const unknown = 'newcomer@example.com'
  const begun = await browser.post('/client/sign_ins', { identifier: unknown, sign_up_if_missing: 'true' })
  expect(begun.body.response.supported_first_factors).toMatchObject([
    { strategy: 'email_code', safe_identifier: unknown },
  ])
  const path = `/client/sign_ins/${begun.body.response.id}`
  await browser.post(`${path}/prepare_first_factor`, { strategy: 'email_code' })
  const code = await mailedCode(t, unknown)
  const done = await browser.post(`${path}/attempt_first_factor`, { strategy: 'email_code', code })
  expect(done.body.response).toMatchObject({
    status: 'needs_first_factor',
    created_session_id: null,
    first_factor_verification: { status: 'transferable', error: { code: 'form_identifier_not_found' } },
  })
})

test('an address on the block-list neither signs in nor asks for a code', async () => {
  const { t, browser } = await withAda({ restrictions: { blocklist: true } })
  await addBlocklistIdentifier(t.ctx(), { identifier: '*@example.com' })
  for (const form of [{ password }, { strategy: 'email_code' }, {}] as Record<string, string>[]) {
    const { status, body } = await browser.post('/client/sign_ins', { identifier: ada, ...form })
    expect({ status, code: body.errors[0].code }).toEqual({ status: 403, code: 'not_allowed_access' })
  }
})

test('passwords that are switched off sign nobody in', async () => {
  const { browser } = await withAda({ password: { use: 'off' } })
  const { status, body } = await browser.post('/client/sign_ins', { identifier: ada, password })
  expect({ status, code: body.errors[0].code }).toEqual({ status: 422, code: 'strategy_for_user_invalid' })
  const begun = await browser.post('/client/sign_ins', { identifier: ada })
  const factors = begun.body.response.supported_first_factors
  expect(factors.map((f: { strategy: string }) => f.strategy)).toEqual(['email_code'])
})
