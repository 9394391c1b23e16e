import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ClerkClient, createClerkClient } from '@clerk/backend'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** Groups, roles and features, and what an application's server hears of them through the unmodified SDK. */
let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  const { url, publishable_key: publishableKey, secret_key: secretKey } = usher.ready
  clerk = createClerkClient({ secretKey, publishableKey, apiUrl: url })
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
