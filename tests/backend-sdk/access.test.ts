import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { ClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** Groups, roles and features, and what an application's server hears of them through the unmodified SDK. */
let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

/** What has no method in the SDK. */
async function call(method: string, path: string, body?: object) {
  const response = await fetch(`${usher.ready.url}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${usher.ready.secret_key}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}

let n = 0
/** A member of a new organization, signed in there, and what the SDK makes of their next token. */
async function member(role = 'org:member') {
  n += 1
  const user = await clerk.users.createUser({
    emailAddress: [`access-${n}@example.com`],
    skipPasswordRequirement: true,
  })
  const organization = await clerk.organizations.createOrganization({ name: `Access ${n}` })
  await clerk.organizations.createOrganizationMembership({ organizationId: organization.id, userId: user.id, role })
  const { token: ticket } = await clerk.signInTokens.createSignInToken({ userId: user.id, expiresInSeconds: 60 })
  const signIn = await browser('/client/sign_ins', { strategy: 'ticket', ticket })
  const sessionId = signIn.body.response.created_session_id as string
  const active = { active_organization_id: organization.id }
  await browser(`/client/sessions/${sessionId}/touch`, active, signIn.cookie)
  const token = async () =>
    (await browser(`/client/sessions/${sessionId}/tokens`, {}, signIn.cookie)).body.jwt as string
  return { user, organization, sessionId, token, auth: async () => read(await token()) }
}

const origin = 'http://localhost:3000'

async function browser(path: string, form: Record<string, string>, cookie?: string) {
  const response = await fetch(`${usher.ready.url}/v1${path}`, {
    method: 'POST',
    headers: { origin, ...(cookie && { cookie }) },
    body: new URLSearchParams(form),
  })
  const cookies = response.headers.getSetCookie().map((c) => c.split(';')[0])
  return { body: await response.json(), cookie: cookies.join('; ') }
}

/** What the SDK makes of a token. */
async function read(jwt: string) {
  const request = new Request(`${origin}/page`, { headers: { authorization: `Bearer ${jwt}` } })
  const state = await clerk.authenticateRequest(request, { acceptsToken: 'session_token' })
  const auth = state.toAuth()
  if (!auth?.userId) throw new Error(`not signed in: ${state.reason}`)
  return auth
}

test('a role of a group is a permission in the next token, and is none after it was removed', async () => {
  const permission = await clerk.organizationPermissions.createOrganizationPermission({
    key: 'org:reports:read',
    name: 'Read reports',
  })
  await clerk.organizationRoles.createOrganizationRole({
    key: 'org:reader',
    name: 'Reader',
    permissions: [permission.id],
  })
  const { user, organization, auth } = await member()
  const groups = `/organizations/${organization.id}/groups`
  expect((await auth()).orgId).toBe(organization.id)
  expect((await auth()).has({ permission: 'org:reports:read' })).toBe(false)
  const { body: group } = await call('POST', groups, { name: 'Analysts' })
  await call('PUT', `${groups}/${group.id}/roles/org:reader`)
  expect((await auth()).has({ permission: 'org:reports:read' })).toBe(false)
  await call('PUT', `${groups}/${group.id}/members/${user.id}`)
  const inGroup = await auth()
  expect(inGroup.has({ permission: 'org:reports:read' })).toBe(true)
  expect(inGroup.has({ role: 'org:member' })).toBe(true)
  await call('DELETE', `${groups}/${group.id}/roles/org:reader`)
  expect((await auth()).has({ permission: 'org:reports:read' })).toBe(false)
  await call('PUT', `${groups}/${group.id}/roles/org:reader`)
  expect((await auth()).has({ permission: 'org:reports:read' })).toBe(true)
  await call('DELETE', `${groups}/${group.id}/members/${user.id}`)
  expect((await auth()).has({ permission: 'org:reports:read' })).toBe(false)
})

test('features of an organization and of a person are asked for by has(), and take their permissions along', async () => {
  const { user, organization, auth } = await member()
  const permission = { key: 'org:exports:run', name: 'Run exports' }
  await clerk.organizationPermissions.createOrganizationPermission(permission)
  const path = `/organizations/${organization.id}/memberships/${user.id}`
  expect((await call('PUT', `${path}/permissions/org:exports:run`)).status).toBe(200)
  expect((await auth()).has({ permission: 'org:exports:run' })).toBe(true)
  const made = await call('POST', '/features', { slug: 'exports', name: 'Exports' })
  expect(made.body).toMatchObject({ object: 'feature', slug: 'exports', enabled: true, default_for: 'nobody' })
  const before = await auth()
  expect([before.has({ permission: 'org:exports:run' }), before.has({ feature: 'exports' })]).toEqual([false, false])

  await call('PUT', `/organizations/${organization.id}/features/exports`)
  const after = await auth()
  const asked = ['exports', 'org:exports', 'o:exports', 'user:exports', 'other']
  expect(asked.map((feature) => after.has({ feature }))).toEqual([true, true, true, false, false])
  expect(after.has({ permission: 'org:exports:run' })).toBe(true)
  await call('PUT', `/users/${user.id}/features/exports`)
  expect((await auth()).has({ feature: 'user:exports' })).toBe(true)
  expect((await call('GET', `/users/${user.id}/features`)).body).toMatchObject({
    data: [{ object: 'held_feature', slug: 'exports', has: true, source: 'direct' }],
  })
  expect((await call('PATCH', '/features/exports', { name: 'CSV', enabled: false })).body).toMatchObject({
    name: 'CSV',
  })
  expect((await auth()).has({ feature: 'exports' })).toBe(false)
  expect((await call('GET', '/features?query=csv')).body).toMatchObject({ total_count: 1 })
  expect((await call('GET', '/features/exports')).body).toMatchObject({ enabled: false })
  expect((await call('DELETE', `/organizations/${organization.id}/features/exports`)).body).toMatchObject({
    has: false,
  })
  expect((await call('GET', `/organizations/${organization.id}/features`)).body).toMatchObject({
    data: [{ source: 'switched_off' }],
  })
  expect((await call('DELETE', `/users/${user.id}/features/exports`)).status).toBe(200)
  expect((await call('DELETE', '/features/exports')).body).toMatchObject({ deleted: true })
  expect((await auth()).has({ permission: 'org:exports:run' })).toBe(true)
  expect((await call('DELETE', `${path}/permissions/org:exports:run`)).body.permissions).not.toContain(
    'org:exports:run',
  )
})

test('the server is told what is held and by what, of system permissions too', async () => {
  const { user, organization } = await member()
  const check = async (question: object) => {
    const { status, body } = await call('POST', '/access/check', { user_id: user.id, ...question })
    return body.object === 'access_check' ? body : { status, code: body.errors[0].code }
  }
  const here = { organization_id: organization.id }
  const held = await check({ ...here, permission: 'org:sys_memberships:read' })
  expect(held).toMatchObject({ decision: 'pass', grants: [{ source: 'direct', role: { key: 'org:member' } }] })
  expect(await check({ ...here, permission: 'org:sys_memberships:manage' })).toMatchObject({ decision: 'fail' })
  expect(await check({ permission: 'org:sys_memberships:read' })).toMatchObject({ decision: 'absent', grants: [] })
  expect(await check({ organization_id: 'org_none', role: 'org:member' })).toMatchObject({ decision: 'absent' })
  expect(await check({ ...here, role: 'member', feature: 'none' })).toMatchObject({ decision: 'fail' })
  expect(await check(here)).toEqual({ status: 422, code: 'form_param_missing' })
  const unknown = await call('POST', '/access/check', { user_id: 'user_none', role: 'org:member' })
  expect(unknown.status).toBe(404)
  await clerk.users.banUser(user.id)
  expect(await check({ ...here, role: 'org:member' })).toMatchObject({ decision: 'absent' })
})

test('a member’s roles, and the roles that an organization makes for itself', async () => {
  const { user, organization, auth } = await member()
  const path = `/organizations/${organization.id}`
  await clerk.organizationPermissions.createOrganizationPermission({ key: 'org:files:read', name: 'Read files' })
  const made = await call('POST', `${path}/roles`, { key: 'clerk', name: 'Clerk', permissions: ['org:files:read'] })
  expect(made.body).toMatchObject({ object: 'role', key: 'org:org_clerk', permissions: [{ key: 'org:files:read' }] })
  const offered = (await call('GET', `${path}/roles?limit=100`)).body.data.map((r: { key: string }) => r.key)
  expect(offered).toEqual(expect.arrayContaining(['org:admin', 'org:member', 'org:org_clerk']))
  const listed = await clerk.organizationRoles.getOrganizationRoleList({ limit: 500 })
  expect(listed.data.map((r) => r.key)).not.toContain('org:org_clerk')

  const roles = `${path}/memberships/${user.id}/roles`
  await call('PUT', `${roles}/org:org_clerk`)
  expect((await auth()).has({ permission: 'org:files:read' })).toBe(true)
  expect((await auth()).has({ role: 'org:org_clerk' })).toBe(false)
  await call('PUT', `${roles}/org:org_clerk`, { primary: true })
  expect((await auth()).has({ role: 'org:org_clerk' })).toBe(true)
  const { body: access } = await call('GET', `${path}/memberships/${user.id}/access`)
  expect(access).toMatchObject({
    object: 'membership_access',
    role: 'org:org_clerk',
    grants: [{ role: { key: 'org:org_clerk' } }, { role: { key: 'org:member' } }],
  })
  expect((await call('DELETE', `${roles}/org:org_clerk`)).status).toBe(422)
  expect((await call('DELETE', `${path}/roles/${made.body.id}`)).body.errors[0].code).toBe('role_in_use')
  await call('PUT', `${roles}/org:member`, { primary: true })
  expect((await call('DELETE', `${roles}/org:org_clerk`)).body.grants).toHaveLength(1)
  const renamed = await call('PATCH', `${path}/roles/${made.body.id}`, { name: 'Typist', permissions: [] })
  expect(renamed.body).toMatchObject({ name: 'Typist', permissions: [] })
  expect((await call('DELETE', `${path}/roles/${made.body.id}`)).body).toMatchObject({ deleted: true })
})

test('J13 what is searched and ordered by is a value, never a part of a statement', async () => {
  const { organization } = await member()
  const lists = [
    '/organization_roles',
    '/organization_permissions',
    '/role_sets',
    `/organizations/${organization.id}/roles`,
  ]
  for (const path of lists) {
    for (const order of ['id;--', 'key desc', "key' or 1=1", 'constructor', 'permissions.id'])
      expect((await call('GET', `${path}?order_by=${encodeURIComponent(order)}`)).body.errors[0].code).toBe(
        'form_param_value_invalid',
      )
    for (const query of ["' or 1=1 --", '%', '_', '\\'])
      expect((await call('GET', `${path}?query=${encodeURIComponent(query)}`)).status).toBe(200)
    expect((await call('GET', `${path}?query=${encodeURIComponent('%')}`)).body.total_count).toBe(0)
  }
})

test('groups over the server API, and nothing of it without the secret key', async () => {
  const { user, organization } = await member()
  const groups = `/organizations/${organization.id}/groups`
  const { body: group } = await call('POST', groups, { name: 'Editors', description: 'Who edits' })
  expect(group).toMatchObject({ object: 'group', name: 'Editors', source: 'direct', roles: [], members_count: 0 })
  await call('PUT', `${groups}/${group.id}/members/${user.id}`)
  expect((await call('GET', `${groups}?user_id=${user.id}&query=EDIT`)).body).toMatchObject({ total_count: 1 })
  expect((await call('GET', `${groups}/${group.id}`)).body).toMatchObject({ members_count: 1 })
  expect((await call('GET', `${groups}/${group.id}/members`)).body).toMatchObject({
    total_count: 1,
    data: [{ user_id: user.id }],
  })
  expect((await call('PATCH', `${groups}/${group.id}`, { name: 'Authors' })).body).toMatchObject({ name: 'Authors' })
  expect((await call('POST', groups, { name: 'authors' })).body.errors[0].code).toBe('duplicate_record')
  const unauthorized = await fetch(`${usher.ready.url}/v1${groups}`, {
    method: 'POST',
    headers: { origin },
    body: '{}',
  })
  expect([401, 404, 405]).toContain(unauthorized.status)
  expect((await call('DELETE', `${groups}/${group.id}`)).body).toMatchObject({ deleted: true })
  expect((await call('GET', `${groups}/${group.id}`)).status).toBe(404)
})
