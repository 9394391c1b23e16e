import { expect, test } from 'bun:test'
import { addAllowlistIdentifier, addBlocklistIdentifier } from '../../domains/restrictions/index.ts'
import { getUser, listUsers } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { mailedCode, TestBrowser } from './testing.ts'

const password = 'correct horse battery'

async function withSettings(settings: object) {
  const t = await testInstance()
  const change = (more: object) => t.server.runtime.instances.changeSettings(t.ctx().instance.id, more)
  await change({ rateLimits: { attemptsPerMinute: 100_000 }, ...settings })
  return { t, change, browser: new TestBrowser(t) }
}
const errorOf = (answer: { status: number; body: { errors?: { code: string; meta: object }[] } }) => ({
  status: answer.status,
  code: answer.body.errors?.[0]?.code,
})
const prove = async (browser: TestBrowser, id: string, strategy: string, code: string) =>
  browser.post(`/client/sign_ups/${id}/attempt_verification`, { strategy, code })

test('every attribute that is asked for is missing, then unproven, then there', async () => {
  const { t, browser } = await withSettings({
    phoneNumber: { use: 'required' },
    username: { use: 'required' },
    signUp: { names: 'required', legalConsent: true },
  })
  const begun = await browser.post('/client/sign_ups', { email_address: 'ada@example.com', locale: 'de-DE' })
  expect(begun.body.response).toMatchObject({
    status: 'missing_requirements',
    required_fields: [
      'email_address',
      'phone_number',
      'username',
      'password',
      'first_name',
      'last_name',
      'legal_accepted',
    ],
    missing_fields: ['phone_number', 'username', 'password', 'first_name', 'last_name', 'legal_accepted'],
    unverified_fields: ['email_address'],
    legal_accepted_at: null,
    locale: 'de-DE',
  })
  const { id } = begun.body.response
  const told = await browser.send('PATCH', `/client/sign_ups/${id}`, {
    phone_number: '+1 202 555 0150',
    username: 'ada_l',
    password,
    first_name: 'Ada',
    last_name: 'Lovelace',
    legal_accepted: 'true',
  })
  expect(told.body.response).toMatchObject({ missing_fields: [], unverified_fields: ['email_address', 'phone_number'] })
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'phone_code' })
  // The code of one proves nothing about the other.
  expect(errorOf(await prove(browser, id, 'email_code', '424242')).code).toBe('form_code_incorrect')
  const half = await prove(browser, id, 'phone_code', '424242')
  expect(half.body.response).toMatchObject({ status: 'missing_requirements', unverified_fields: ['email_address'] })
  const done = await prove(browser, id, 'email_code', await mailedCode(t, 'ada@example.com'))
  expect(done.body.response).toMatchObject({ status: 'complete', missing_fields: [] })
  const user = await getUser(t.ctx(), done.body.response.created_user_id)
  expect(user).toMatchObject({ username: 'ada_l', firstName: 'Ada', locale: 'de-DE', passwordEnabled: true })
  expect(user.phoneNumbers).toMatchObject([{ phoneNumber: '+12025550150', verificationStrategy: 'phone_code' }])
  expect(user.primaryPhoneNumberId).toBe(user.phoneNumbers[0]?.id ?? '')
  expect(user.legalAcceptedAt).toBeInstanceOf(Date)
})

test('an address that is changed after it was proven has to be proven again, and a code to the old one proves nothing', async () => {
  const { t, browser } = await withSettings({ phoneNumber: { use: 'required' } })
  const begun = await browser.post('/client/sign_ups', { email_address: 'one@example.com', password })
  const { id } = begun.body.response
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
  const proven = await prove(browser, id, 'email_code', await mailedCode(t, 'one@example.com'))
  expect(proven.body.response.unverified_fields).toEqual([])
  const changed = await browser.send('PATCH', `/client/sign_ups/${id}`, { email_address: 'two@example.com' })
  expect(changed.body.response.unverified_fields).toEqual(['email_address'])
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
  const code = await mailedCode(t, 'two@example.com')
  await browser.send('PATCH', `/client/sign_ups/${id}`, { email_address: 'three@example.com' })
  expect(errorOf(await prove(browser, id, 'email_code', code)).code).toBe('verification_failed')
})

test('either an address or a number will do where neither is required, and one of them is', async () => {
  const { browser } = await withSettings({
    emailAddress: { use: 'optional' },
    phoneNumber: { use: 'optional' },
    password: { use: 'off' },
  })
  const empty = await browser.post('/client/sign_ups', {})
  expect(empty.body.response.missing_fields).toEqual(['email_address_or_phone_number'])
  const { id } = empty.body.response
  await browser.send('PATCH', `/client/sign_ups/${id}`, { phone_number: '+12025550151' })
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'phone_code' })
  const done = await prove(browser, id, 'phone_code', '424242')
  expect(done.body.response.status).toBe('complete')
  expect(done.body.client.last_authentication_strategy).toBe('phone_code')
})

test('a username and a password alone, by their rules; two people at once do not get the same one', async () => {
  const { t, browser } = await withSettings({ emailAddress: { use: 'off' }, username: { use: 'required' } })
  for (const [username, code] of [
    ['ada', 'form_username_invalid_length'],
    ['ada lovelace', 'form_username_invalid_character'],
    ['12345', 'form_username_needs_non_number_char'],
  ] as const)
    expect(errorOf(await browser.post('/client/sign_ups', { username, password }))).toEqual({ status: 422, code })
  const browsers = Array.from({ length: 8 }, () => new TestBrowser(t))
  const answers = await Promise.all(
    browsers.map((b, i) => b.post('/client/sign_ups', { username: i % 2 ? 'Ada_L' : 'ada_l', password })),
  )
  expect(answers.filter((a) => a.body.response?.status === 'complete')).toHaveLength(1)
  expect(answers.filter((a) => a.status === 422).every((a) => errorOf(a).code === 'form_identifier_exists')).toBe(true)
})

test('B1 an address that nobody had to prove signs nobody in by it and keeps its owner out of nothing', async () => {
  const { t, change } = await withSettings({ emailAddress: { verifyAtSignUp: false }, username: { use: 'optional' } })
  const attacker = new TestBrowser(t)
  const taken = await attacker.post('/client/sign_ups', {
    email_address: 'v@example.com',
    password,
    username: 'mallory',
  })
  expect(taken.body.response.status).toBe('complete')
  // By the username that is theirs alone: yes. By the address that is not proven: no.
  const again = new TestBrowser(t)
  expect((await again.post('/client/sign_ins', { identifier: 'mallory', password })).body.response.status).toBe(
    'complete',
  )
  const byAddress = await new TestBrowser(t).post('/client/sign_ins', { identifier: 'v@example.com', password })
  expect(errorOf(byAddress).code).toBe('form_identifier_not_found')
  await change({ emailAddress: { verifyAtSignUp: true } })
  const victim = await new TestBrowser(t).signUp('v@example.com')
  expect(victim.userId).not.toBe(taken.body.response.created_user_id)
  const owner = new TestBrowser(t)
  const signedIn = await owner.post('/client/sign_ins', { identifier: 'v@example.com', password })
  expect(signedIn.body.client.sessions[0].user.id).toBe(victim.userId)
})

test('closed instances admit by invitation and allow-list only, and say which they are', async () => {
  const { t, change } = await withSettings({ signUp: { mode: 'restricted' } })
  const form = { email_address: 'ada@acme.example', password }
  const attempt = () => new TestBrowser(t).post('/client/sign_ups', form)
  expect(errorOf(await attempt())).toEqual({ status: 403, code: 'sign_up_mode_restricted' })
  await change({ signUp: { mode: 'waitlist' } })
  expect(errorOf(await attempt())).toEqual({ status: 403, code: 'sign_up_restricted_waitlist' })
  await addAllowlistIdentifier(t.ctx(), { identifier: '*@acme.example' })
  expect(errorOf(await attempt()).code).toBe('sign_up_restricted_waitlist')
  await change({ restrictions: { allowlist: true } })
  expect((await attempt()).status).toBe(200)
  await change({ signUp: { mode: 'public' } })
  const other = await new TestBrowser(t).post('/client/sign_ups', { email_address: 'ada@other.example', password })
  expect(errorOf(other)).toEqual({ status: 403, code: 'not_allowed_to_sign_up' })
  // No way around it by beginning with an admitted address and changing it.
  const browser = new TestBrowser(t)
  const begun = await browser.post('/client/sign_ups', form)
  const path = `/client/sign_ups/${begun.body.response.id}`
  const changed = await browser.send('PATCH', path, { email_address: 'ada@other.example' })
  expect(errorOf(changed)).toEqual({ status: 403, code: 'not_allowed_to_sign_up' })
})

test('who is admitted by their address may add a number, and nobody exchanges the address for another', async () => {
  const { t, browser } = await withSettings({
    signUp: { mode: 'restricted' },
    phoneNumber: { use: 'optional', verifyAtSignUp: false },
    restrictions: { allowlist: true },
  })
  await addAllowlistIdentifier(t.ctx(), { identifier: 'ada@example.com' })
  const begun = await browser.post('/client/sign_ups', { email_address: 'ada@example.com' })
  const { id } = begun.body.response
  const other = await browser.send('PATCH', `/client/sign_ups/${id}`, { email_address: 'eve@evil.test' })
  expect(errorOf(other).code).toBe('sign_up_mode_restricted')
  const told = await browser.send('PATCH', `/client/sign_ups/${id}`, { phone_number: '+12025550142', password })
  expect(told.body.response).toMatchObject({ phone_number: '+12025550142', missing_fields: [] })
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
  const done = await prove(browser, id, 'email_code', await mailedCode(t, 'ada@example.com'))
  expect(done.body.response.status).toBe('complete')
})

test('a username alone goes around no allow-list', async () => {
  for (const mode of ['public', 'restricted', 'waitlist']) {
    const { t, browser } = await withSettings({
      signUp: { mode },
      emailAddress: { use: 'optional' },
      username: { use: 'required' },
      restrictions: { allowlist: true },
    })
    const refused = await browser.post('/client/sign_ups', { username: 'mallory', password })
    expect(refused.status).toBe(403)
    expect(await listUsers(t.ctx(), { limit: 1, offset: 0 })).toEqual([])
  }
})

test('whoever is blocked signs up with no address of theirs', async () => {
  const { t, browser } = await withSettings({ restrictions: { blocklist: true, blockEmailSubaddresses: true } })
  await addBlocklistIdentifier(t.ctx(), { identifier: 'mallory@example.com' })
  for (const email_address of ['mallory@example.com', 'mallory+1@example.com', 'ada+1@example.com'])
    expect(errorOf(await browser.post('/client/sign_ups', { email_address, password }))).toEqual({
      status: 422,
      code: 'form_email_address_blocked',
    })
})

test('what is blocked at sign-up is blocked in the profile too', async () => {
  const { t, browser } = await withSettings({ phoneNumber: { use: 'optional' }, restrictions: { blocklist: true } })
  await addBlocklistIdentifier(t.ctx(), { identifier: '*@evil.test' })
  await addBlocklistIdentifier(t.ctx(), { identifier: '+12025550199' })
  const { userId } = await browser.signUp('ada@example.com')
  const address = await browser.post('/me/email_addresses', { email_address: 'ada@evil.test' })
  expect(errorOf(address)).toMatchObject({ code: 'form_email_address_blocked' })
  const number = await browser.post('/me/phone_numbers', { phone_number: '+1 202 555 0199' })
  expect(errorOf(number)).toEqual({ status: 403, code: 'not_allowed_access' })
  expect((await browser.post('/me/phone_numbers', { phone_number: '+12025550198' })).status).toBe(200)
  const user = await getUser(t.ctx(), userId)
  expect([user.emailAddresses.length, user.phoneNumbers.length]).toEqual([1, 1])
})

test('who waits is let in by an invitation, and has waited then', async () => {
  const { t, browser } = await withSettings({ signUp: { mode: 'waitlist' } })
  const asked = await browser.post('/waitlist', { email_address: 'Ada@Example.com' })
  expect(asked.body).toMatchObject({ object: 'waitlist_entry' })
  // The list does not say who is on it, nor who was let in.
  await Bun.sleep(50)
  const before = Date.now()
  const again = await new TestBrowser(t).post('/waitlist', { email_address: 'ada@example.com' })
  expect(again.body.created_at).toBeGreaterThanOrEqual(before)
  expect(Object.keys(again.body)).toEqual(['object', 'id', 'created_at', 'updated_at'])
  const call = (path: string, init: RequestInit = {}) =>
    t.fetch(path, { secretKey: true, ...init }).then((r) => r.json() as Promise<Record<string, never>>)
  await call(`/v1/waitlist_entries/${asked.body.id}/invite`, { method: 'POST' })
  const { mailsTo } = await import('./testing.ts')
  const [mail] = await mailsTo(t, 'ada@example.com')
  const ticket = mail?.text.match(/ticket=([\w-]+)/)?.[1] ?? ''
  const done = await browser.post('/client/sign_ups', { ticket, password })
  expect(done.body.response.status).toBe('complete')
  const list = (await call('/v1/waitlist_entries')) as unknown as { data: { status: string }[] }
  expect(list.data.map((e) => e.status)).toEqual(['completed'])
})

test('I20 O8 nothing in a sign-up form sets what is the application’s to set', async () => {
  const { t, browser } = await withSettings({})
  const form = {
    email_address: 'ada@example.com',
    password,
    public_metadata: '{"role":"admin"}',
    private_metadata: '{"role":"admin"}',
    external_id: 'crm-1',
    banned: 'false',
    role: 'org:admin',
    email_verified_at: '2020-01-01',
    status: 'complete',
    unsafe_metadata: '{"theme":"dark"}',
  }
  const begun = await browser.post('/client/sign_ups', form)
  expect(begun.body.response).toMatchObject({ status: 'missing_requirements', public_metadata: {}, external_id: null })
  const { id } = begun.body.response
  await browser.post(`/client/sign_ups/${id}/prepare_verification`, { strategy: 'email_code' })
  const done = await prove(browser, id, 'email_code', await mailedCode(t, 'ada@example.com'))
  const user = await getUser(t.ctx(), done.body.response.created_user_id)
  expect(user).toMatchObject({
    publicMetadata: {},
    privateMetadata: {},
    externalId: null,
    unsafeMetadata: { theme: 'dark' },
  })
})
