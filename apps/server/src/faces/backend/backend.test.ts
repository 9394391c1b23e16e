import { expect, test } from 'bun:test'
import { type TestInstance, testInstance } from '../../testing/server.ts'
import { TestBrowser } from '../frontend/testing.ts'

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
type Json = any

async function call(t: TestInstance, method: string, path: string, body?: unknown, key: string | null = t.secretKey) {
  const response = await t.fetch(`/v1${path}`, {
    method,
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    headers: { 'content-type': 'application/json', ...(key !== null && { authorization: `Bearer ${key}` }) },
  })
  const text = await response.text()
  return { status: response.status, text, body: (/^[{[]/.test(text) ? JSON.parse(text) : text) as Json }
}

/** One of everything that the server API keeps. */
async function filled() {
  const t = await testInstance()
  const make = async (path: string, body: unknown) => {
    const made = await call(t, 'POST', path, body)
    if (made.status !== 200) throw new Error(`${path}: ${made.text}`)
    return made.body
  }
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const organization = await make('/organizations', { name: 'Frontiers', created_by: userId })
  const invited = { email_address: 'bob@example.com', role: 'org:member' }
  const permission = await make('/organization_permissions', { key: 'org:tasks:read', name: 'Read' })
  const role = await make('/organization_roles', { key: 'org:reader', name: 'Reader', permissions: [permission.id] })
  const user = (await call(t, 'GET', `/users/${userId}`)).body
  const client = (await call(t, 'GET', `/sessions/${sessionId}`)).body.client_id
  return {
    t,
    make,
    userId,
    sessionId,
    clientId: client as string,
    emailAddressId: user.primary_email_address_id as string,
    organizationId: organization.id as string,
    organizationInvitationId: (await make(`/organizations/${organization.id}/invitations`, invited)).id as string,
    permissionId: permission.id as string,
    roleId: role.id as string,
    invitationId: (await make('/invitations', { email_address: 'carol@example.com' })).id as string,
    tokenId: (await make('/sign_in_tokens', { user_id: userId })).id as string,
  }
}

/** Every route that names something, with ids of what is there. */
function routesTo(ids: Awaited<ReturnType<typeof filled>>): [string, string, unknown?][] {
  const { userId, sessionId, clientId, emailAddressId, organizationId, permissionId, roleId } = ids
  const organization = `/organizations/${organizationId}`
  const invitation = `${organization}/invitations/${ids.organizationInvitationId}`
  return [
    ['GET', `/users/${userId}`],
    ['PATCH', `/users/${userId}`, { first_name: 'Taken' }],
    ['PATCH', `/users/${userId}/metadata`, { public_metadata: { taken: true } }],
    ['POST', `/users/${userId}/ban`],
    ['POST', `/users/${userId}/lock`],
    ['POST', `/users/${userId}/verify_password`, { password: 'x' }],
    ['GET', `/sessions/${sessionId}`],
    ['POST', `/sessions/${sessionId}/revoke`],
    ['GET', `/clients/${clientId}`],
    ['GET', `/email_addresses/${emailAddressId}`],
    ['PATCH', `/email_addresses/${emailAddressId}`, { primary: true }],
    ['DELETE', `/email_addresses/${emailAddressId}`],
    ['POST', '/email_addresses', { user_id: userId, email_address: 'eve@example.com', verified: true }],
    ['POST', '/sign_in_tokens', { user_id: userId }],
    ['POST', `/sign_in_tokens/${ids.tokenId}/revoke`],
    ['GET', organization],
    ['PATCH', organization, { name: 'Taken' }],
    ['PATCH', `${organization}/metadata`, { public_metadata: { taken: true } }],
    ['PUT', `${organization}/metadata`, { public_metadata: { taken: true } }],
    ['GET', `${organization}/memberships`],
    ['POST', `${organization}/memberships`, { user_id: userId, role: 'org:member' }],
    ['PATCH', `${organization}/memberships/${userId}`, { role: 'org:member' }],
    ['PATCH', `${organization}/memberships/${userId}/metadata`, { public_metadata: { taken: true } }],
    ['DELETE', `${organization}/memberships/${userId}`],
    ['GET', `${organization}/invitations`],
    ['POST', `${organization}/invitations`, { email_address: 'eve@example.com', role: 'org:member' }],
    ['GET', invitation],
    ['POST', `${invitation}/revoke`],
    ['DELETE', organization],
    ['GET', `/organization_roles/${roleId}`],
    ['PATCH', `/organization_roles/${roleId}`, { name: 'Taken' }],
    ['POST', `/organization_roles/${roleId}/permissions/${permissionId}`],
    ['DELETE', `/organization_roles/${roleId}/permissions/${permissionId}`],
    ['DELETE', `/organization_roles/${roleId}`],
    ['GET', `/organization_permissions/${permissionId}`],
    ['PATCH', `/organization_permissions/${permissionId}`, { name: 'Taken' }],
    ['DELETE', `/organization_permissions/${permissionId}`],
    ['POST', `/invitations/${ids.invitationId}/revoke`],
    ['DELETE', `/users/${userId}`],
  ]
}

const lists = ['/users', '/organizations', '/organization_invitations', '/organization_memberships', '/invitations']

test('I7 the key of one instance reaches nothing of another, and changes nothing there', async () => {
  const ids = await filled()
  const other = await testInstance()
  const { t } = ids
  const before = await Promise.all(lists.map((path) => call(t, 'GET', path)))
  for (const [method, path, body] of routesTo(ids)) {
    const { status, text } = await call(other, method, path, body)
    expect([method, path, status]).toEqual([method, path, 404])
    expect(text).not.toContain('Frontiers')
  }
  for (const path of lists) {
    const { body } = await call(other, 'GET', path)
    expect([path, body.data ?? body]).toEqual([path, []])
  }
  const after = await Promise.all(lists.map((path) => call(t, 'GET', path)))
  expect(after.map((r) => r.text)).toEqual(before.map((r) => r.text))
  // With its own key every one of these routes finds what it names.
  const lost: unknown[] = []
  for (const [method, path, body] of routesTo(ids)) {
    const { status } = await call(t, method, path, body)
    if (status === 404 || status >= 500) lost.push([method, path, status])
  }
  expect(lost).toEqual([])
}, 60_000)

test('without a secret key that is known, no route of the server API answers', async () => {
  const ids = await filled()
  const { t } = ids
  const made = new TestBrowser(t)
  const { sessionId } = await made.signUp('eve@example.com')
  const { jwt } = (await made.post(`/client/sessions/${sessionId}/tokens`)).body
  const keys = [jwt, t.publishableKey, `${t.secretKey}x`, t.secretKey.slice(0, -1), 'sk_test_', 'sk_live_x']
  for (const key of keys)
    for (const path of ['/users', `/users/${ids.userId}`, '/organization_invitations', '/sessions?user_id=x']) {
      const { status, text } = await call(t, 'GET', path, undefined, key)
      expect([key, path, status < 500 && status >= 400]).toEqual([key, path, true])
      expect(text).not.toContain(t.secretKey)
      expect(text).not.toContain('ada@example.com')
    }
})

test('a key in the wrong place, the address or the body, opens nothing', async () => {
  const t = await testInstance()
  for (const path of [`/users?secret_key=${t.secretKey}`, `/users?authorization=Bearer%20${t.secretKey}`])
    expect((await call(t, 'GET', path, undefined, null)).status).toBeGreaterThanOrEqual(400)
})

test('bodies that are no JSON, no object, too large or of wrong types are refused by name, and never crash', async () => {
  const t = await testInstance()
  const post = async (path: string, body: unknown) => {
    const { status, body: reply } = await call(t, 'POST', path, body)
    return [status, reply.errors?.[0]?.code]
  }
  expect(await post('/organizations', '{')).toEqual([400, 'request_body_invalid'])
  expect(await post('/organizations', `{"name":"${'x'.repeat(1024 * 1024)}"}`)).toEqual([413, 'request_too_large'])
  for (const body of [[], 'null', '1', { name: 1 }, {}, { name: 'x', max_allowed_memberships: -1 }])
    expect(await post('/organizations', body)).toEqual([422, 'form_param_format_invalid'])
  expect(await post('/organizations', { name: 'a\u0000b' })).toEqual([422, 'form_param_format_invalid'])
  expect(await post('/invitations', { email_address: 'v@x.test,a@x.test' })).toEqual([422, 'form_param_format_invalid'])
  expect(await post('/invitations', { email_address: 'v@x.test', redirect_url: 'javascript:alert(1)' })).toEqual([
    422,
    'form_param_format_invalid',
  ])
  for (const query of ['limit=-1', 'limit=x', 'offset=-1', 'order_by=password', 'limit=1e9'])
    expect((await call(t, 'GET', `/organizations?${query}`)).status).toBeLessThan(500)
})

test('I22 roles whose keys hold separators are refused; I4 so are roles and permissions that are not there', async () => {
  const { t, organizationId, userId } = await filled()
  const post = async (path: string, body: unknown) => (await call(t, 'POST', path, body)).status
  expect(await post('/organization_roles', { key: 'org:member,admin', name: 'X' })).toBe(422)
  expect(await post('/organization_roles', { key: 'org:x', name: 'X', permissions: ['perm_nothing'] })).toBe(422)
  expect(await post('/organization_permissions', { key: 'org:sys_profile:own', name: 'X' })).toBe(422)
  for (const role of ['member,admin', 'org:member,org:admin', 'org:nothing']) {
    const invited = { email_address: 'dan@example.com', role }
    expect(await post(`/organizations/${organizationId}/invitations`, invited)).toBe(422)
    const changed = await call(t, 'PATCH', `/organizations/${organizationId}/memberships/${userId}`, { role })
    expect(changed.status).toBe(422)
  }
})

test('parallel requests: one user, one invitation and one membership each, however many ask', async () => {
  const { t, organizationId, make } = await filled()
  const statuses = async (path: string, body: unknown) => {
    const all = await Promise.all(Array.from({ length: 20 }, () => call(t, 'POST', path, body)))
    const won = all.filter((r) => r.status === 200).length
    return [won, all.every((r) => r.status < 500)]
  }
  expect(await statuses('/users', { email_address: ['dan@example.com'], password: 'correct horse battery' })).toEqual([
    1,
    true,
  ])
  expect(await statuses('/invitations', { email_address: 'fay@example.com' })).toEqual([1, true])
  const { id } = await make('/users', { email_address: ['gus@example.com'], skip_password_requirement: true })
  const member = { user_id: id, role: 'org:member' }
  expect(await statuses(`/organizations/${organizationId}/memberships`, member)).toEqual([1, true])
}, 60_000)

test('a sign-in token signs in once; revoked it does not; its organization is active for members only', async () => {
  const { t, make, userId } = await filled()
  const foreign = await make('/organizations', { name: 'Others' })
  const signIn = (ticket: string) => new TestBrowser(t).post('/client/sign_ins', { strategy: 'ticket', ticket })
  const { token } = await make('/sign_in_tokens', { user_id: userId, org_id: foreign.id })
  const all = await Promise.all(Array.from({ length: 10 }, () => signIn(token)))
  const won = all.filter((r) => r.status === 200)
  expect(won).toHaveLength(1)
  expect(won[0]?.body.client.sessions[0].last_active_organization_id).not.toBe(foreign.id)
  const second = await make('/sign_in_tokens', { user_id: userId })
  await make(`/sign_in_tokens/${second.id}/revoke`, {})
  expect((await signIn(second.token)).body.errors[0].code).toBe('ticket_invalid')
  expect((await call(t, 'POST', `/sign_in_tokens/${second.id}/revoke`)).status).toBe(404)
})

test('J4 a secret key that a page sends is refused, whatever page, route and key, and no page reads the answer', async () => {
  const { t, userId } = await filled()
  for (const origin of ['https://evil.example', 'http://localhost:3000', 'null', ''])
    for (const [method, path] of [
      ['GET', `/v1/users/${userId}`],
      ['DELETE', `/v1/users/${userId}`],
      ['POST', '/v1/sync_tokens'],
    ] as const) {
      const response = await t.fetch(path, { method, headers: { authorization: `Bearer ${t.secretKey}`, origin } })
      expect([origin, path, response.status]).toEqual([origin, path, 403])
      expect(response.headers.get('access-control-allow-origin')).toBeNull()
      expect(((await response.json()) as Json).errors[0].code).toBe('origin_invalid')
    }
  expect((await call(t, 'GET', `/users/${userId}`)).status).toBe(200)
})

test('K10 a body that nests without an end is refused before it is built, by every face', async () => {
  const { t, userId, make } = await filled()
  const key = (await make('/machines', { name: 'Cron' })).secret_key
  const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`
  const send = async (method: string, path: string, body: string, bearer?: string) => {
    const headers = { 'content-type': 'application/json', ...(bearer && { authorization: `Bearer ${bearer}` }) }
    const response = await t.fetch(path, { method, headers, body })
    return [path, response.status, ((await response.json()) as Json).errors?.[0]?.code]
  }
  const startedAt = performance.now()
  // Anybody's, a machine's, and the application's own.
  const deep = nested(100_000)
  for (const [method, path, body, bearer] of [
    ['POST', '/v1/client/sign_ups', `{"email_address":"eve@example.com","unsafe_metadata":{"a":${deep}}}`],
    ['POST', '/m2m_tokens', `{"claims":{"a":${deep}}}`, key],
    ['POST', '/api_keys', `{"name":"CI","subject":"${userId}","claims":{"a":${deep}}}`, t.secretKey],
    ['PATCH', `/v1/users/${userId}/metadata`, `{"public_metadata":{"a":${deep}}}`, t.secretKey],
  ] as const)
    expect(await send(method, path, body, bearer)).toEqual([path, 400, 'request_body_invalid'])
  expect(performance.now() - startedAt).toBeLessThan(5000)
  const path = `/v1/users/${userId}/metadata`
  const kept = await send('PATCH', path, `{"public_metadata":{"a":${nested(150)}}}`, t.secretKey)
  expect(kept).toEqual([path, 200, undefined])
})
