import { expect, test } from 'bun:test'
import { deleteEmailAddress, getUser } from '../../domains/users/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { mailsTo, TestBrowser } from './testing.ts'

const ada = 'ada@example.com'
const password = 'correct horse battery'
const redirect_url = 'http://localhost:3000/verify'

async function withLinks(settings: object = {}) {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, {
    rateLimits: { attemptsPerMinute: 100_000 },
    emailAddress: { links: true },
    ...settings,
  })
  return { t, browser: new TestBrowser(t) }
}
async function withAda(settings: object = {}) {
  const made = await withLinks(settings)
  const { userId } = await new TestBrowser(made.t).signUp(ada, password)
  return { ...made, userId }
}
const tokenOf = async (t: TestInstance, to = ada) =>
  (await mailsTo(t, to)).find((m) => m.template.startsWith('magic_link'))?.text.match(/token=([\w-]+)/)?.[1] ?? 'none'
const ask = async (browser: TestBrowser, form: Record<string, string> = { identifier: ada }) => {
  const { body } = await browser.post('/client/sign_ins', { ...form, strategy: 'email_link', redirect_url })
  return body.response
}
const statusOf = (location: string | null) => new URL(location ?? 'http://nowhere/').searchParams.get('__clerk_status')

test('a link that is opened in the browser that asked signs in at once; the waiting page sees it', async () => {
  const { t, browser } = await withAda()
  const begun = await ask(browser)
  expect(begun.first_factor_verification).toMatchObject({
    object: 'verification_email_link',
    strategy: 'email_link',
    status: 'unverified',
  })
  const opened = await browser.get(`/verify?token=${await tokenOf(t)}`, { accept: 'text/html' })
  expect({ status: opened.status, told: statusOf(opened.headers.get('location')) }).toEqual({
    status: 303,
    told: 'verified',
  })
  const polled = await browser.get(`/client/sign_ins/${begun.id}`)
  expect(polled.body.response).toMatchObject({ status: 'complete', first_factor_verification: { status: 'verified' } })
  expect(polled.body.client.sessions).toHaveLength(1)
  const again = await browser.get(`/verify?token=${await tokenOf(t)}`)
  expect(statusOf(again.headers.get('location'))).toBe('expired')
})

test('M14 a link that a mail scanner opens is not used by it; elsewhere a person is asked, and told who asked', async () => {
  const { t, browser } = await withAda()
  const begun = await ask(browser)
  const token = await tokenOf(t)
  const scanner = new TestBrowser(t, null)
  for (let i = 0; i < 3; i += 1) {
    const seen = await scanner.get(`/verify?token=${token}`, { accept: 'text/html' })
    expect(seen.status).toBe(200)
    expect(seen.body).toContain('another browser than the one that asked')
  }
  expect((await browser.get(`/client/sign_ins/${begun.id}`)).body.response.status).toBe('needs_first_factor')
  // The phone confirms; the session is the waiting browser's and not the phone's.
  const phone = new TestBrowser(t, null)
  const confirmed = await phone.post('/verify', { token })
  expect(statusOf(confirmed.headers.get('location'))).toBe('verified')
  expect(phone.clientCookie).toBeUndefined()
  expect((await browser.get(`/client/sign_ins/${begun.id}`)).body.response.status).toBe('complete')
  expect((await browser.get('/client')).body.response.sessions).toHaveLength(1)
})

test('M14 where the same browser is demanded, another one can neither open nor confirm', async () => {
  const { t, browser } = await withAda({ emailAddress: { links: true, linkRequiresSameClient: true } })
  const begun = await ask(browser)
  const token = await tokenOf(t)
  const phone = new TestBrowser(t, null)
  expect(statusOf((await phone.get(`/verify?token=${token}`)).headers.get('location'))).toBe('client_mismatch')
  expect(statusOf((await phone.post('/verify', { token })).headers.get('location'))).toBe('client_mismatch')
  expect((await browser.get(`/client/sign_ins/${begun.id}`)).body.response.status).toBe('needs_first_factor')
  expect(statusOf((await browser.get(`/verify?token=${token}`)).headers.get('location'))).toBe('verified')
})

test('of ten that use a link at once one does; an expired one, and one that another overtook, do nothing', async () => {
  const { t, browser } = await withAda()
  const first = await ask(browser)
  const overtaken = await tokenOf(t)
  await browser.post(`/client/sign_ins/${first.id}/prepare_first_factor`, { strategy: 'email_link', redirect_url })
  const token = await tokenOf(t)
  expect(statusOf((await browser.get(`/verify?token=${overtaken}`)).headers.get('location'))).toBe('expired')
  const phones = Array.from({ length: 10 }, () => new TestBrowser(t, null))
  const answers = await Promise.all(phones.map((p) => p.post('/verify', { token })))
  expect(answers.filter((a) => statusOf(a.headers.get('location')) === 'verified')).toHaveLength(1)

  const other = new TestBrowser(t)
  await ask(other)
  const late = await tokenOf(t)
  const { runtime } = t.server
  runtime.now = () => new Date(Date.now() + 11 * 60_000)
  try {
    expect(statusOf((await other.get(`/verify?token=${late}`)).headers.get('location'))).toBe('expired')
  } finally {
    runtime.now = () => new Date()
  }
  expect((await other.get('/verify?token=nonsense')).status).toBe(404)
  expect((await other.get('/verify')).status).toBe(404)
})

test('A11 A17 a link is worth nothing after a lock, or once its address is not theirs', async () => {
  const { t, browser, userId } = await withAda()
  const begun = await ask(browser)
  await t.fetch(`/v1/users/${userId}/lock`, { method: 'POST', secretKey: true })
  expect(statusOf((await browser.get(`/verify?token=${await tokenOf(t)}`)).headers.get('location'))).toBe('failed')
  await t.fetch(`/v1/users/${userId}/unlock`, { method: 'POST', secretKey: true })
  expect((await browser.get(`/client/sign_ins/${begun.id}`)).body.response.status).toBe('needs_first_factor')

  const body = JSON.stringify({ user_id: userId, email_address: 'old@example.com', verified: true })
  await t.fetch('/v1/email_addresses', { method: 'POST', secretKey: true, body })
  const other = new TestBrowser(t)
  await ask(other, { identifier: 'old@example.com' })
  const old = (await getUser(t.ctx(), userId)).emailAddresses.find((e) => e.emailAddress === 'old@example.com')
  await deleteEmailAddress(t.ctx(), old?.id ?? '')
  const opened = await other.get(`/verify?token=${await tokenOf(t, 'old@example.com')}`)
  expect(statusOf(opened.headers.get('location'))).toBe('failed')
})

test('D17 a link is no ticket, no code and no state, and none of them is a link', async () => {
  const { t, browser } = await withAda()
  await ask(browser)
  const token = await tokenOf(t)
  const other = new TestBrowser(t)
  expect((await other.post('/client/sign_ins', { strategy: 'ticket', ticket: token })).body.errors[0].code).toBe(
    'ticket_invalid',
  )
  expect((await browser.get(`/oauth_callback?state=${token}&code=x`)).status).toBe(403)
  const made = await t.fetch('/v1/invitations', {
    method: 'POST',
    secretKey: true,
    body: JSON.stringify({ email_address: 'new@example.com' }),
  })
  const { url } = (await made.json()) as { url: string }
  expect((await browser.get(`/verify?token=${new URL(url).searchParams.get('ticket')}`)).status).toBe(404)
  expect(statusOf((await browser.get(`/verify?token=${token}`)).headers.get('location'))).toBe('verified')
})

test('a link proves the address of a sign-up, also from another browser', async () => {
  const { t, browser } = await withLinks({ emailAddress: { links: true, codes: false } })
  const begun = await browser.post('/client/sign_ups', { email_address: ada, password })
  const { id, verifications } = begun.body.response
  expect(verifications.email_address.supported_strategies).toEqual(['email_link'])
  const form = { strategy: 'email_link', redirect_url }
  const prepared = await browser.post(`/client/sign_ups/${id}/prepare_verification`, form)
  expect(prepared.body.response.verifications.email_address).toMatchObject({
    strategy: 'email_link',
    status: 'unverified',
  })
  const phone = new TestBrowser(t, null)
  const confirmed = await phone.post('/verify', { token: await tokenOf(t) })
  const target = new URL(confirmed.headers.get('location') ?? '')
  expect(target.searchParams.get('__clerk_status')).toBe('verified')
  const done = await browser.get(`/client/sign_ups/${id}`)
  expect(done.body.response).toMatchObject({
    status: 'complete',
    created_session_id: target.searchParams.get('__clerk_created_session'),
  })
  expect((await browser.get('/client')).body.response.sessions).toHaveLength(1)
})

test('an unknown address is asked for its link where it may sign up, and is transferable then', async () => {
  const { t, browser } = await withLinks()
  const begun = await browser.post('/client/sign_ins', { identifier: ada, sign_up_if_missing: 'true' })
  const path = `/client/sign_ins/${begun.body.response.id}`
  await browser.post(`${path}/prepare_first_factor`, { strategy: 'email_link', redirect_url })
  const opened = await browser.get(`/verify?token=${await tokenOf(t)}`)
  expect(statusOf(opened.headers.get('location'))).toBe('transferable')
  const made = await browser.post('/client/sign_ups', { transfer: 'true', password })
  expect(made.body.response.status).toBe('complete')
  const user = await getUser(t.ctx(), made.body.response.created_user_id)
  expect(user.emailAddresses).toMatchObject([{ emailAddress: ada, verificationStrategy: 'email_link' }])
})

test('links lead to pages of the application alone', async () => {
  const t = await testInstance('production')
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { emailAddress: { links: true } })
  const origin = `http://${t.host}`
  const browser = new TestBrowser(t, origin)
  for (const target of ['https://evil.example/', '//evil.example', 'javascript:alert(1)', `${origin}@evil.example/`]) {
    const form = { identifier: ada, strategy: 'email_link', redirect_url: target }
    expect((await browser.post('/client/sign_ins', form)).body.errors[0].code).toBe('form_param_value_invalid')
  }
})
