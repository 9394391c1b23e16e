import { expect, spyOn, test } from 'bun:test'
import { removePassword, setPassword } from '../../domains/credentials/index.ts'
import { addMember, createOrganization, inviteMembers, removeMember } from '../../domains/organizations/index.ts'
import { revokeSession } from '../../domains/sessions/index.ts'
import { createUser, updateUser } from '../../domains/users/index.ts'
import { testInstance } from '../../testing/server.ts'
import { claimsOf, TestBrowser } from './testing.ts'

async function signedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const tokens = (form?: Record<string, string>) => browser.post(`/client/sessions/${sessionId}/tokens`, form)
  return { t, browser, userId, sessionId, tokens }
}

test('minting reads nothing from the database once the client is known', async () => {
  const { t, tokens } = await signedIn()
  await tokens()
  const queries = spyOn(t.server.runtime.database.tenant, 'begin')
  for (let i = 0; i < 20; i += 1) expect((await tokens({ organization_id: '' })).status).toBe(200)
  expect(queries).not.toHaveBeenCalled()
  queries.mockRestore()
})

test('the whole client is shown from memory, and what changes is in it at once', async () => {
  const { t, browser, userId, tokens } = await signedIn()
  const organization = await createOrganization(t.ctx(), { name: 'Frontiers', createdBy: userId })
  const user = async () => (await browser.get('/client')).body.response.sessions[0].user
  const members = async () => (await user()).organization_memberships[0].organization
  await user()
  const queries = spyOn(t.server.runtime.database.tenant, 'begin')
  expect(await user()).toMatchObject({ id: userId, password_enabled: true })
  expect(queries).not.toHaveBeenCalled()

  await updateUser(t.ctx(), { id: userId, firstName: 'Ada' })
  expect((await user()).first_name).toBe('Ada')
  await setPassword(t.ctx(), { userId, password: 'another battery horse' })
  await removePassword(t.ctx(), { userId })
  expect((await user()).password_enabled).toBe(false)

  const { id: guest } = await createUser(t.ctx(), { emailAddresses: [] })
  await addMember(t.ctx(), { organizationId: organization.id, userId: guest, role: 'org:member' })
  await tokens()
  queries.mockClear()
  expect((await tokens()).status).toBe(200)
  // Somebody else's joining is shown, but no reason to read anything for a token.
  expect(queries).not.toHaveBeenCalled()
  expect((await members()).members_count).toBe(2)
  const emailAddress = 'bob@example.com'
  await inviteMembers(t.ctx(), [
    { organizationId: organization.id, emailAddress, role: 'org:member', publicUrl: t.url },
  ])
  expect((await members()).pending_invitations_count).toBe(1)

  queries.mockClear()
  await user()
  expect(queries).not.toHaveBeenCalled()
  queries.mockRestore()
})

test('a sign-in under way is shown as far as it is', async () => {
  const t = await testInstance()
  await new TestBrowser(t).signUp('ada@example.com')
  const browser = new TestBrowser(t)
  const begun = await browser.post('/client/sign_ins', { identifier: 'ada@example.com' })
  const shown = async () => (await browser.get('/client')).body.response.sign_in
  expect(await shown()).toMatchObject({ id: begun.body.response.id, status: 'needs_first_factor' })
  const again = await browser.post('/client/sign_ins', { identifier: 'ada@example.com' })
  expect((await shown()).id).toBe(again.body.response.id)
  await browser.post(`/client/sign_ins/${again.body.response.id}/attempt_first_factor`, {
    strategy: 'password',
    password: 'correct horse battery',
  })
  expect(await shown()).toBeNull()
})

test('a session that was revoked, ended or banned gets no more tokens, at once', async () => {
  const revoked = await signedIn()
  await revoked.tokens()
  await revokeSession(revoked.t.ctx(), revoked.sessionId)
  expect([401, 404]).toContain((await revoked.tokens()).status)

  const ended = await signedIn()
  await ended.browser.post(`/client/sessions/${ended.sessionId}/end`)
  expect([401, 404]).toContain((await ended.tokens()).status)

  const banned = await signedIn()
  await banned.tokens()
  await updateUser(banned.t.ctx(), { id: banned.userId, banned: true })
  expect([401, 404]).toContain((await banned.tokens()).status)
})

test('signing out removes every session and keeps the client; destroying it clears the cookie', async () => {
  const { browser, tokens } = await signedIn()
  const cookie = browser.clientCookie
  const out = await browser.send('DELETE', '/client/sessions')
  expect(out.body.response).toMatchObject({ sessions: [], last_active_session_id: null })
  expect(out.body.client.id).toBe(out.body.response.id)
  expect(browser.clientCookie).toBe(cookie as string)
  expect((await tokens()).status).toBe(404)
  expect((await browser.send('DELETE', '/client')).body).toEqual({ response: null, client: null })
  expect(browser.clientCookie).toBeUndefined()
})

test('the active organization is in the token, with its role and permissions', async () => {
  const { t, browser, userId, sessionId, tokens } = await signedIn()
  const { id, slug } = await createOrganization(t.ctx(), { name: 'Frontiers', createdBy: userId })
  const before = browser.clientCookie
  const touched = await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: slug })
  expect(touched.body.response.last_active_organization_id).toBe(id)
  expect(claimsOf(touched.body.response.last_active_token.jwt).o).toEqual({ id, slg: slug, rol: 'admin' })
  // C1: another organization is another privilege, so the client shows itself by another value.
  expect(browser.clientCookie).not.toBe(before as string)
  expect(claimsOf((await tokens()).body.jwt).o.id).toBe(id)
  expect(claimsOf((await tokens({ organization_id: '' })).body.jwt).o).toBeUndefined()
  const foreign = await createOrganization(t.ctx(), { name: 'Elsewhere' })
  for (const wanted of [foreign.id, 'org_nothing', "' or 1=1"]) {
    const { status, body } = await tokens({ organization_id: wanted })
    expect({ status, code: body.errors[0].code }).toEqual({
      status: 404,
      code: 'organization_not_found_or_unauthorized',
    })
  }
  const unchanged = await browser.post(`/client/sessions/${sessionId}/touch`, { intent: 'focus' })
  expect(unchanged.body.response.last_active_organization_id).toBe(id)
  const personal = await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: '' })
  expect(personal.body.response.last_active_organization_id).toBe(null)
})

test('I8 the claims of an organization are gone at the first mint after the membership', async () => {
  const { t, browser, userId, sessionId, tokens } = await signedIn()
  const organization = await createOrganization(t.ctx(), { name: 'Frontiers' })
  await addMember(t.ctx(), { organizationId: organization.id, userId, role: 'org:member' })
  await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: organization.id })
  expect(claimsOf((await tokens()).body.jwt).o).toMatchObject({ id: organization.id, rol: 'member' })
  await removeMember(t.ctx(), { organizationId: organization.id, userId })
  expect(claimsOf((await tokens()).body.jwt).o).toBeUndefined()
  expect((await tokens({ organization_id: organization.id })).status).toBe(404)
  const { body } = await browser.get('/client')
  expect(body.response.sessions[0].last_active_organization_id).toBe(null)
  expect(claimsOf(body.response.sessions[0].last_active_token.jwt).o).toBeUndefined()
})

test('C4 over https only the host-bound cookie counts; the plain one is ignored and cleared', async () => {
  const { t, browser } = await signedIn()
  const token = browser.clientCookie as string
  const suffix = t.ctx().instance.cookieSuffix
  const proxied = { 'clerk-secret-key': t.secretKey, 'clerk-proxy-url': 'https://app.example.com/__clerk' }
  const visitor = new TestBrowser(t, null)
  const plainAlone = await visitor.get('/client', { ...proxied, cookie: `__client_${suffix}=${token}` })
  expect(plainAlone.body.response).toBe(null)
  expect(plainAlone.headers.getSetCookie().join()).toMatch(new RegExp(`__client_${suffix}=; .*Max-Age=0`))
  for (const cookie of [
    `__client_${suffix}=planted-planted-planted; __Host-__client_${suffix}=${token}`,
    `__Host-__client_${suffix}=${token}; __client_${suffix}=planted-planted-planted`,
  ]) {
    const both = await visitor.get('/client', { ...proxied, cookie })
    expect(both.body.response.sessions).toHaveLength(1)
    expect(both.headers.getSetCookie().join()).toContain(`__client_${suffix}=; `)
  }
  // One name with two values: somebody planted one of them.
  const twice = `__Host-__client_${suffix}=${token}; __Host-__client_${suffix}=planted-planted-planted`
  expect((await visitor.get('/client', { ...proxied, cookie: twice })).body.response).toBe(null)
  const created = await visitor.send('PUT', '/client', {}, proxied)
  const [cookie = ''] = created.headers.getSetCookie()
  expect(cookie).toMatch(/^__Host-__client_/)
  for (const part of ['Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']) expect(cookie).toContain(part)
  expect(cookie).not.toContain('Domain')
})

test('a dev browser identifies itself by its token, gets another at sign-in, and a lost one is told so', async () => {
  const t = await testInstance()
  const name = `d${t.host.split('.')[0]}`
  const made = await t.server.runtime.instances.create({
    name,
    environment: 'development',
    host: `${name}.usher-accounts.dev`,
  })
  const dev = { ...t, fetch: (path: string, init: RequestInit = {}) => t.fetch(path, withHost(init)) }
  function withHost(init: RequestInit): RequestInit {
    const headers = new Headers(init.headers)
    headers.set('host', `${name}.usher-accounts.dev`)
    return { ...init, headers }
  }
  const instance = t.server.runtime.instances.find(made.id)
  const inDev = {
    ...dev,
    ctx: (actor?: Parameters<typeof t.ctx>[0]) => ({ ...t.ctx(actor), instance: instance as never }),
  }
  const browser = new TestBrowser(inDev)
  const first = (await browser.post('/dev_browser')).body.id
  browser.devBrowser = first
  expect((await browser.get('/client')).body).toEqual({ response: null, client: null })
  await browser.signUp('ada@example.com')
  expect(browser.devBrowser).not.toBe(first)
  expect(browser.cookies.size).toBe(0)
  expect((await browser.get('/client')).body.response.sessions).toHaveLength(1)
  const old = new TestBrowser(inDev)
  old.devBrowser = first
  expect((await old.get('/client')).body.response).toBe(null)
  old.devBrowser = 'dvb_unknown_unknown_unknown'
  const lost = await old.get('/client')
  expect({ status: lost.status, code: lost.body.errors[0].code }).toEqual({
    status: 401,
    code: 'dev_browser_unauthenticated',
  })
  expect((await old.send('PATCH', '/environment')).status).toBe(200)
})
