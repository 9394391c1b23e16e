import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ClerkClient, createClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

let count = 0
const person = (firstName: string) =>
  clerk.users.createUser({
    emailAddress: [`${firstName.toLowerCase()}${++count}@example.com`],
    password: 'correct horse battery',
    firstName,
  })
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no error',
    (error) => error.errors?.[0]?.code ?? String(error),
  )

test('the whole story through the server SDK: roles, people, an organization, an invitation, a promotion, a removal', async () => {
  const read = await clerk.organizationPermissions.createOrganizationPermission({
    key: 'org:tasks:read',
    name: 'Read tasks',
  })
  const write = await clerk.organizationPermissions.createOrganizationPermission({
    key: 'org:tasks:write',
    name: 'Write tasks',
  })
  const reader = await clerk.organizationRoles.createOrganizationRole({
    key: 'org:reader',
    name: 'Reader',
    description: 'Reads',
    permissions: [read.id],
  })
  const roles = await clerk.organizationRoles.getOrganizationRoleList()
  expect(roles.data.map((r) => r.key).sort()).toEqual(['org:admin', 'org:member', 'org:reader'])
  const member = roles.data.find((r) => r.key === 'org:member')
  const grant = { organizationRoleId: member?.id as string, permissionId: write.id }
  await clerk.organizationRoles.assignPermissionToOrganizationRole(grant)
  expect(reader.key).toBe('org:reader')

  const ada = await person('Ada')
  const bob = await person('Bob')
  const organization = await clerk.organizations.createOrganization({ name: 'Frontiers', createdBy: ada.id })
  expect(organization).toMatchObject({ name: 'Frontiers', createdBy: ada.id, membersCount: 1 })

  const email = bob.emailAddresses[0]?.emailAddress as string
  const invited = await clerk.organizations.createOrganizationInvitation({
    organizationId: organization.id,
    emailAddress: email,
    role: 'org:reader',
    inviterUserId: ada.id,
  })
  expect(invited).toMatchObject({ status: 'pending', emailAddress: email, role: 'org:reader' })
  const again = { organizationId: organization.id, emailAddress: email, role: 'org:reader', inviterUserId: ada.id }
  expect(await code(clerk.organizations.createOrganizationInvitation(again))).toBe('duplicate_record')
  const membership = await clerk.organizations.createOrganizationMembership({
    organizationId: organization.id,
    userId: bob.id,
    role: 'org:reader',
  })
  expect(membership.permissions).toEqual(['org:tasks:read'])
  const list = await clerk.organizations.getOrganizationMembershipList({ organizationId: organization.id })
  expect(list.totalCount).toBe(2)

  const session = await clerk.sessions.createSession({ userId: bob.id })
  const { jwt } = await clerk.sessions.getToken(session.id)
  expect(jwt.split('.')).toHaveLength(3)

  const promoted = await clerk.organizations.updateOrganizationMembership({
    organizationId: organization.id,
    userId: bob.id,
    role: 'org:member',
  })
  expect(promoted.role).toBe('org:member')
  expect(promoted.permissions).toContain('org:tasks:write')
  await clerk.organizations.deleteOrganizationMembership({ organizationId: organization.id, userId: bob.id })
  const left = await clerk.users.getOrganizationMembershipList({ userId: bob.id })
  expect(left.totalCount).toBe(0)
  await clerk.organizations.revokeOrganizationInvitation({ organizationId: organization.id, invitationId: invited.id })
}, 60_000)

test('users: create, get, list, count, update, metadata, ban, delete', async () => {
  const user = await person('Carol')
  expect(user.emailAddresses[0]?.verification?.status).toBe('verified')
  expect(user.passwordEnabled).toBe(true)
  expect((await clerk.users.getUser(user.id)).id).toBe(user.id)
  const email = user.emailAddresses[0]?.emailAddress as string
  const found = await clerk.users.getUserList({ emailAddress: [email] })
  expect([found.totalCount, found.data[0]?.id]).toEqual([1, user.id])
  expect(await clerk.users.getCount({ query: 'carol' })).toBe(1)
  expect((await clerk.users.updateUser(user.id, { lastName: 'Shaw' })).lastName).toBe('Shaw')
  await clerk.users.updateUserMetadata(user.id, {
    publicMetadata: { a: 1, b: { c: 2 } },
    privateMetadata: { secret: 'x' },
  })
  const merged = await clerk.users.updateUserMetadata(user.id, { publicMetadata: { b: { c: null, d: 3 } } })
  expect(merged.publicMetadata).toEqual({ a: 1, b: { d: 3 } })
  expect(merged.privateMetadata).toEqual({ secret: 'x' })
  expect(await clerk.users.verifyPassword({ userId: user.id, password: 'correct horse battery' })).toEqual({
    verified: true,
  } as never)
  expect(await code(clerk.users.verifyPassword({ userId: user.id, password: 'wrong' }))).toBe('form_password_incorrect')
  expect((await clerk.users.banUser(user.id)).banned).toBe(true)
  expect((await clerk.users.unbanUser(user.id)).banned).toBe(false)
  await clerk.users.deleteUser(user.id)
  expect(await code(clerk.users.getUser(user.id))).toBe('resource_not_found')
})

test('A5 an address that hides two is refused, and nobody is created', async () => {
  const before = await clerk.users.getCount()
  for (const emailAddress of [
    'v@x.test,a@x.test',
    '"a@x.test"@v.test',
    'v@x.test\nbcc:a@x.test',
    'v@x.test<a@x.test>',
    'v@@x.test',
    '',
  ])
    expect(
      await code(clerk.users.createUser({ emailAddress: [emailAddress], password: 'correct horse battery' })),
    ).toStartWith('form_param_')
  expect(await clerk.users.getCount()).toBe(before)
})

test('email addresses: create, verify, make primary, delete; the primary one stays', async () => {
  const user = await person('Dan')
  const second = await clerk.emailAddresses.createEmailAddress({
    userId: user.id,
    emailAddress: 'dan.second@example.com',
    verified: true,
  })
  const primary = await clerk.emailAddresses.updateEmailAddress(second.id, { primary: true })
  expect(primary.id).toBe(second.id)
  expect((await clerk.users.getUser(user.id)).primaryEmailAddressId).toBe(second.id)
  expect(await code(clerk.emailAddresses.deleteEmailAddress(second.id))).toBe('identification_deletion_failed')
  await clerk.emailAddresses.deleteEmailAddress(user.emailAddresses[0]?.id as string)
  expect((await clerk.users.getUser(user.id)).emailAddresses).toHaveLength(1)
  const taken = { userId: user.id, emailAddress: 'dan.second@example.com', verified: true }
  expect(await code(clerk.emailAddresses.createEmailAddress(taken))).toBe('form_identifier_exists')
})

test('sessions, clients and tokens', async () => {
  const user = await person('Eve')
  const session = await clerk.sessions.createSession({ userId: user.id })
  expect((await clerk.sessions.getSession(session.id)).status).toBe('active')
  const listed = await clerk.sessions.getSessionList({ userId: user.id })
  expect(listed.data.map((s) => s.id)).toEqual([session.id])
  expect((await clerk.clients.getClient(session.clientId)).sessions.map((s) => s.id)).toEqual([session.id])
  const { jwt } = await clerk.sessions.getToken(session.id)
  expect((await clerk.clients.verifyClient(jwt)).id).toBe(session.clientId)
  expect((await clerk.sessions.revokeSession(session.id)).status).toBe('revoked')
  expect(await code(clerk.sessions.getToken(session.id))).toBe('resource_not_found')

  const token = await clerk.signInTokens.createSignInToken({ userId: user.id, expiresInSeconds: 60 })
  expect(token.status).toBe('pending')
  expect((await clerk.signInTokens.revokeSignInToken(token.id)).status).toBe('revoked')
  expect((await clerk.testingTokens.createTestingToken()).token).toBeString()
  expect((await clerk.jwks.getJwks()).keys?.[0]?.kid).toStartWith('ins_')
})

test('a session is checked with its token; a revocation counts at once, and another session’s token does not', async () => {
  const user = await person('Gil')
  const [one, two] = [
    await clerk.sessions.createSession({ userId: user.id }),
    await clerk.sessions.createSession({ userId: user.id }),
  ]
  const { jwt: token } = await clerk.sessions.getToken(one.id)
  const check = (id: string) =>
    fetch(`${usher.ready.url}/v1/sessions/${id}/verify`, {
      method: 'POST',
      headers: { authorization: `Bearer ${usher.ready.secret_key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    })
  const verified = await check(one.id)
  expect(await verified.json()).toMatchObject({ object: 'session', id: one.id, user_id: user.id, status: 'active' })
  expect((await check(two.id)).status).toBe(401)
  await clerk.sessions.revokeSession(one.id)
  expect((await check(one.id)).status).toBe(401)
})

test('a wrong secret key is told so, and its answers are exactly application/json', async () => {
  const { url, publishable_key: publishableKey } = usher.ready
  const stranger = createClerkClient({ secretKey: 'sk_test_wrong', publishableKey, apiUrl: url })
  expect(await code(stranger.users.getCount())).toBe('clerk_key_invalid')
  const headers = { authorization: `Bearer ${usher.ready.secret_key}` }
  const [ok, missing] = await Promise.all(
    ['/v1/users', '/v1/users/user_nobody'].map((path) => fetch(url + path, { headers })),
  )
  expect([ok?.headers.get('content-type'), missing?.headers.get('content-type')]).toEqual([
    'application/json',
    'application/json',
  ])
  expect(missing?.status).toBe(404)
})

test('authenticateRequest accepts a session cookie of ours and refuses what is not', async () => {
  const user = await person('Fay')
  const session = await clerk.sessions.createSession({ userId: user.id })
  const { jwt } = await clerk.sessions.getToken(session.id)
  const uat = Math.floor(Date.now() / 1000) - 5
  const request = (cookie: string) =>
    new Request('http://localhost:3000/', { headers: { cookie, accept: 'text/html', 'sec-fetch-dest': 'document' } })
  const options = { proxyUrl: `${usher.ready.url}` }
  const signedIn = await clerk.authenticateRequest(
    request(`__session=${jwt}; __client_uat=${uat}; __clerk_db_jwt=x`),
    options,
  )
  expect(signedIn.status).toBe('signed-in')
  expect(signedIn.toAuth()).toMatchObject({ userId: user.id, sessionId: session.id })
  const [head, , signature] = jwt.split('.')
  const forged = `${head}.${btoa(JSON.stringify({ sub: 'user_x', sid: 'sess_x', exp: 9e9, iat: 1, nbf: 1 })).replaceAll('=', '')}.${signature}`
  const refused = await clerk.authenticateRequest(
    new Request('http://localhost:3000/', { headers: { authorization: `Bearer ${forged}` } }),
    options,
  )
  expect(refused.status).toBe('signed-out')
})

test('authenticateRequest goes through the handshake of a browser that has no cookies yet', async () => {
  const options = { proxyUrl: usher.ready.url }
  const first = await clerk.authenticateRequest(
    new Request('http://localhost:3000/dashboard', { headers: { accept: 'text/html', 'sec-fetch-dest': 'document' } }),
    options,
  )
  expect(first.status).toBe('handshake')
  const location = first.headers.get('location') as string
  expect(location).toStartWith(`${usher.ready.url}/v1/client/handshake`)
  const bounced = await fetch(location, { redirect: 'manual' })
  expect(bounced.status).toBe(307)
  const back = bounced.headers.get('location') as string
  expect(back).toContain('__clerk_handshake_nonce=')
  const second = await clerk.authenticateRequest(
    new Request(back, { headers: { accept: 'text/html', 'sec-fetch-dest': 'document' } }),
    options,
  )
  expect(second.headers.getSetCookie().some((cookie) => cookie.startsWith('__clerk_db_jwt='))).toBe(true)
  expect(second.headers.getSetCookie().some((cookie) => cookie.startsWith('__client_uat=0'))).toBe(true)
})
