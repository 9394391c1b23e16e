import { expect, test } from 'bun:test'
import { createOrganization } from '../../domains/organizations/index.ts'
import { createInvitation } from '../../domains/signup/index.ts'
import { testInstance } from '../../testing/server.ts'
import { claimsOf, TestBrowser } from './testing.ts'

test('in production every change of the signed-in set moves __client_uat, on the domain that the application shares', async () => {
  const t = await testInstance('production')
  const proxied = { 'clerk-secret-key': t.secretKey, 'clerk-proxy-url': 'https://app.example.com/__clerk' }
  const browser = new TestBrowser(t, 'https://app.example.com')
  const { url } = await createInvitation(t.ctx(), { emailAddress: 'ada@example.com', publicUrl: t.url, notify: false })
  const ticket = new URL(url).searchParams.get('ticket') as string
  const form = { ticket, password: 'correct horse battery' }
  const done = await browser.post('/client/sign_ups', form, proxied)
  expect(done.body.response.status).toBe('complete')
  const uat = browser.cookies.get('__client_uat')
  expect(Number(uat)).toBe(Math.floor(done.body.client.updated_at / 1000))
  expect(browser.cookies.get(`__client_uat_${t.ctx().instance.cookieSuffix}`)).toBe(uat as string)
  for (const cookie of done.headers.getSetCookie()) {
    expect(cookie).toContain('Secure')
    expect(cookie).not.toContain('Domain') // behind the application's own proxy the host alone is right
  }
  await browser.send('DELETE', '/client/sessions', {}, proxied)
  expect(browser.cookies.get('__client_uat')).toBe('0')
})

test('a native application shows and receives its client token in the Authorization header', async () => {
  const t = await testInstance()
  const native = new TestBrowser(t, null)
  const created = await native.send('PUT', '/client?_is_native=1')
  const token = created.headers.get('authorization') ?? ''
  expect(created.headers.getSetCookie()).toEqual([])
  const { body } = await native.get('/client?_is_native=1', { authorization: token })
  expect(body.response.id).toBe(created.body.response.id)
  expect((await native.get('/client?_is_native=1')).body.response).toBe(null)
})

test('a session is pending until an organization is active, where the instance asks for one', async () => {
  const t = await testInstance()
  const organizations = { forceSelection: true }
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { organizations })
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const [pending] = (await browser.get('/client')).body.response.sessions
  expect(pending).toMatchObject({ status: 'pending', tasks: [{ key: 'choose-organization' }] })
  expect(claimsOf(pending.last_active_token.jwt).sts).toBe('pending')
  const { id } = await createOrganization(t.ctx(), { name: 'Frontiers', createdBy: userId })
  const touched = await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: id })
  expect(touched.body.response).toMatchObject({ status: 'active', tasks: null })
  expect(claimsOf(touched.body.response.last_active_token.jwt)).toMatchObject({ sts: 'active', o: { id } })
  // There is no personal account to go back to.
  const back = await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: '' })
  expect(back.body.response.last_active_organization_id).toBe(id)
})

test('naming another client’s session makes nobody act as it', async () => {
  const t = await testInstance()
  const ada = await new TestBrowser(t).signUp('ada@example.com')
  const eve = new TestBrowser(t)
  await eve.signUp('eve@example.com')
  expect((await eve.get(`/me?_clerk_session_id=${ada.sessionId}`)).status).toBe(401)
  expect((await eve.get('/me')).body.response.primary_email_address_id).toBeTruthy()
  expect((await new TestBrowser(t).get(`/me?_clerk_session_id=${ada.sessionId}`)).status).toBe(401)
})

test('attempts are counted by browser too, wherever it comes from', async () => {
  const t = await testInstance()
  await t.server.runtime.instances.changeSettings(t.ctx().instance.id, { rateLimits: { attemptsPerMinute: 5 } })
  const browser = new TestBrowser(t)
  const from = (i: number) => ({
    'clerk-secret-key': t.secretKey,
    'clerk-proxy-url': 'http://localhost:3000/__clerk',
    'x-forwarded-for': `198.51.100.${i}`,
  })
  const statuses = []
  for (let i = 0; i < 9; i += 1)
    statuses.push((await browser.post('/client/sign_ins', { identifier: `p${i}@example.com` }, from(i))).status)
  // The first one had no client yet.
  expect(statuses).toEqual([422, 422, 422, 422, 422, 422, 429, 429, 429])
  expect((await new TestBrowser(t).post('/client/sign_ins', { identifier: 'p@example.com' }, from(99))).status).toBe(
    422,
  )
})
