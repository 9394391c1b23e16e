import { beforeAll, expect, test } from 'bun:test'
import { type ClerkClient, createClerkClient } from '@clerk/backend'
import { transaction } from '../../apps/server/src/database/index.ts'
import { apiKeys } from '../../apps/server/src/domains/api-keys/tables.ts'
import { listEvents } from '../../apps/server/src/domains/events/index.ts'
import { deleteWhatIsOver } from '../../apps/server/src/domains/upkeep/index.ts'
import { TestBrowser } from '../../apps/server/src/faces/frontend/testing.ts'
import { presentEvents } from '../../apps/server/src/faces/presenters/webhook-event.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'

/** API keys as an application meets them: by the unmodified server SDK, and as `<APIKeys/>` asks for them in a page. */
const sdkOf = (t: TestInstance): ClerkClient => {
  const { secretKey, publishableKey, url: apiUrl } = t
  return createClerkClient({ secretKey, publishableKey, apiUrl, telemetry: { disabled: true } })
}
const errorOf = (promise: Promise<unknown>): Promise<{ code: string; status: number }> =>
  promise.then(
    () => ({ code: 'no error', status: 200 }),
    (error) => ({ code: error.errors?.[0]?.code ?? String(error), status: error.status }),
  )
const codeOf = async (promise: Promise<unknown>) => (await errorOf(promise)).code
const set = (t: TestInstance, settings: object) =>
  t.server.runtime.instances.changeSettings(t.ctx().instance.id, settings)

/** A page in which somebody is signed in, and asks for keys as the browser SDK does: with the session's token, in JSON. */
async function page(t: TestInstance, emailAddress: string) {
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp(emailAddress)
  const token = async () => (await browser.post(`/client/sessions/${sessionId}/tokens`)).body.jwt as string
  const ask = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const response = await t.fetch(`/api_keys${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await token()}`,
        'content-type': 'application/json',
        origin: 'http://localhost:3000',
        ...headers,
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const answer = await response.json()
    return { status: response.status, body: answer, code: answer.errors?.[0]?.code as string | undefined }
  }
  const activate = (organizationId: string) =>
    browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: organizationId })
  return { browser, userId, sessionId, token, ask, activate }
}

let t: TestInstance
let clerk: ClerkClient
let ada: Awaited<ReturnType<typeof page>>
let bob: Awaited<ReturnType<typeof page>>

beforeAll(async () => {
  t = await testInstance()
  await set(t, { apiKeys: { users: true, organizations: true, maxPerSubject: 5 }, multiSession: true })
  clerk = sdkOf(t)
  ada = await page(t, 'ada@example.com')
  bob = await page(t, 'bob@example.com')
})

const newUser = () =>
  clerk.users.createUser({ skipPasswordRequirement: true, emailAddress: [`${crypto.randomUUID()}@example.com`] })
const verifies = async (secret: string | undefined) => (await errorOf(clerk.apiKeys.verify(secret ?? ''))).status

test('a key is made, its secret is seen once, and a request that shows it is the person’s', async () => {
  const { id: subject } = await newUser()
  const made = await clerk.apiKeys.create({ name: 'CI', subject, scopes: ['read:docs'], claims: { plan: 'pro' } })
  expect(made).toMatchObject({ name: 'CI', subject, scopes: ['read:docs'], claims: { plan: 'pro' }, revoked: false })
  expect(made.secret).toMatch(/^ak_[0-9A-Za-z]{43}$/)
  expect((await clerk.apiKeys.get(made.id)).secret).toBeUndefined()
  expect((await clerk.apiKeys.list({ subject })).data.map((key) => [key.id, key.secret])).toEqual([
    [made.id, undefined],
  ])

  const request = (secret = '') =>
    clerk.authenticateRequest(new Request('https://app.example/', { headers: { authorization: `Bearer ${secret}` } }), {
      acceptsToken: 'api_key',
    })
  const state = await request(made.secret)
  expect(state.isAuthenticated).toBe(true)
  expect(state.toAuth()).toMatchObject({
    tokenType: 'api_key',
    id: made.id,
    userId: subject,
    orgId: null,
    scopes: ['read:docs'],
  })

  const { machine, m2m } = { machine: await clerk.machines.create({ name: 'worker' }), m2m: clerk.m2m }
  const machineToken = (await m2m.createToken({ machineSecretKey: machine.secretKey ?? '' })).token
  for (const [wrong, reason] of [
    [`${made.secret}x`, 'token-invalid'],
    [machine.secretKey, 'token-invalid'],
    [machineToken, 'token-type-mismatch'],
    [await ada.token(), 'token-type-mismatch'],
    [t.secretKey, 'token-type-mismatch'],
  ] as const)
    expect([reason, (await request(wrong)).reason as string]).toEqual([reason, reason])

  await clerk.apiKeys.revoke({ apiKeyId: made.id, revocationReason: 'leaked' })
  expect((await request(made.secret)).reason as string).toBe('token-invalid')
})

test('a key of an organization says which, and so says the request that shows it', async () => {
  const { id: subject } = await clerk.organizations.createOrganization({ name: 'Keys' })
  const { secret } = await clerk.apiKeys.create({ name: 'deploy', subject })
  const headers = { authorization: `Bearer ${secret}` }
  const state = await clerk.authenticateRequest(new Request('https://app.example/', { headers }), {
    acceptsToken: ['api_key', 'session_token'],
  })
  expect(state.toAuth()).toMatchObject({ tokenType: 'api_key', orgId: subject, userId: null })
})

test('what a key says is changed; whose it is, is not', async () => {
  const [{ id: subject }, { id: other }] = [await newUser(), await newUser()]
  const { id, secret } = await clerk.apiKeys.create({ name: 'one', subject, description: 'first' })
  const changed = await clerk.apiKeys.update({ apiKeyId: id, subject, scopes: ['a', 'b', 'a'], claims: { n: 1 } })
  expect(changed).toMatchObject({ description: 'first', scopes: ['a', 'b'], claims: { n: 1 }, expiration: null })
  expect(await codeOf(clerk.apiKeys.update({ apiKeyId: id, subject: other }))).toBe('form_param_value_invalid')
  const tooMuch = { text: 'x'.repeat(5000) }
  expect(await codeOf(clerk.apiKeys.update({ apiKeyId: id, subject, claims: tooMuch }))).toBe(
    'form_param_max_length_exceeded',
  )
  expect(await codeOf(clerk.apiKeys.update({ apiKeyId: id, subject, scopes: ['two words'] }))).toBe(
    'form_param_value_invalid',
  )
  const limited = await clerk.apiKeys.update({ apiKeyId: id, subject, secondsUntilExpiration: 1 })
  expect(limited.expiration).toBeGreaterThan(Date.now() - 1000)
  await Bun.sleep(1100)
  expect(await verifies(secret)).toBe(404)
  expect((await clerk.apiKeys.get(id)).expired).toBe(true)
  expect((await clerk.apiKeys.list({ subject })).totalCount).toBe(0)
  expect((await clerk.apiKeys.list({ subject, includeInvalid: true })).totalCount).toBe(1)
  // Its name is free, and it is over for good once another key has it.
  await clerk.apiKeys.create({ name: 'one', subject })
  expect(await clerk.apiKeys.get(id)).toMatchObject({ revoked: true })
  expect(await codeOf(clerk.apiKeys.update({ apiKeyId: id, subject, secondsUntilExpiration: null }))).toBe('conflict')
})

test('the database has no key that could be used, unless keys are to be read again', async () => {
  const other = await testInstance()
  const sdk = sdkOf(other)
  const { id: subject } = await sdk.users.createUser({ skipPasswordRequirement: true, emailAddress: ['a@example.com'] })
  const { id, secret = '' } = await sdk.apiKeys.create({ name: 'hashed', subject })
  expect(await codeOf(sdk.apiKeys.getSecret(id))).toBe('api_key_secret_not_kept')
  await set(other, { apiKeys: { readableSecrets: true } })
  const kept = await sdk.apiKeys.create({ name: 'kept', subject })
  expect(await sdk.apiKeys.getSecret(kept.id)).toEqual({ secret: kept.secret as string })
  expect(await codeOf(sdk.apiKeys.getSecret(id))).toBe('api_key_secret_not_kept')
  const rows = await transaction(other.ctx(), (tx) => tx.db.select().from(apiKeys))
  const { data: events } = await listEvents(other.ctx(), { limit: 100 })
  const everything = JSON.stringify([rows, events])
  for (const value of [secret, kept.secret ?? '']) expect(everything.includes(value.slice(3))).toBe(false)
})

test('names are given once, and of parallel calls no more than the limit succeeds', async () => {
  const { id: subject } = await newUser()
  const create = (name: string) => errorOf(clerk.apiKeys.create({ name, subject }))
  const same = await Promise.all(Array.from({ length: 6 }, () => create('same')))
  expect(same.map(({ code }) => code).sort()).toEqual(['no error', ...Array(5).fill('token_creation_conflict')])
  const many = await Promise.all(Array.from({ length: 12 }, (_, i) => create(`key ${i}`)))
  expect(many.filter(({ code }) => code === 'no error')).toHaveLength(4)
  expect(many.filter(({ code }) => code === 'token_quota_exceeded')).toHaveLength(8)
  expect((await clerk.apiKeys.list({ subject, query: 'KEY' } as never)).totalCount).toBe(4)
  const { data } = await clerk.apiKeys.list({ subject, limit: 2, offset: 2 })
  expect(data).toHaveLength(2)
  await clerk.apiKeys.revoke({ apiKeyId: data[0]?.id ?? '' })
  expect((await create('another')).code).toBe('no error')
})

test('another instance neither finds a key nor accepts it, nor has somebody else’s people as subjects', async () => {
  const other = sdkOf(await testInstance())
  const { id: subject } = await newUser()
  const { id, secret = '' } = await clerk.apiKeys.create({ name: 'mine', subject })
  expect(await codeOf(other.apiKeys.verify(secret))).toBe('resource_not_found')
  for (const call of [
    () => other.apiKeys.get(id),
    () => other.apiKeys.getSecret(id),
    () => other.apiKeys.revoke({ apiKeyId: id }),
    () => other.apiKeys.update({ apiKeyId: id, subject }),
    () => other.apiKeys.delete(id),
  ])
    expect(await codeOf(call())).toBe('resource_not_found')
  expect(await codeOf(other.apiKeys.create({ name: 'x', subject }))).toBe('form_param_value_invalid')
  expect(await codeOf(other.apiKeys.list({ subject }))).toBe('form_param_value_invalid')
  expect(await verifies(secret)).toBe(200)
})

test('J1 a key is made by whoever is signed in, for themselves, whatever the body says', async () => {
  const body = { type: 'api_key', name: 'mine', subject: bob.userId }
  const json = { 'content-type': 'application/json' }
  const bare = await t.fetch('/api_keys', { method: 'POST', body: JSON.stringify(body), headers: json })
  expect(bare.status).toBe(401)
  // A cookie goes along with what another site’s page asks for; the session’s token does not.
  const cookie = [...ada.browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  const own = JSON.stringify({ ...body, subject: ada.userId })
  for (const authorization of [
    '',
    'Basic eDp5',
    'Bearer ak_0123456789012345678901234567890123456789012',
    'Bearer x.y.z',
  ]) {
    const headers = { ...json, cookie, ...(authorization && { authorization }) }
    expect((await t.fetch('/api_keys', { method: 'POST', body: own, headers })).status).toBe(401)
  }
  expect(await ada.ask('POST', '', body)).toMatchObject({ status: 403, code: 'forbidden' })
  expect(await ada.ask('POST', '', { ...body, user_id: bob.userId, subject: undefined })).toMatchObject({
    body: { subject: ada.userId, created_by: ada.userId },
  })
  const made = await ada.ask('POST', '', {
    ...body,
    subject: ada.userId,
    name: 'second',
    scopes: ['admin'],
    claims: { admin: true },
    created_by: bob.userId,
  })
  expect(made.body).toMatchObject({ subject: ada.userId, created_by: ada.userId, scopes: [], claims: null })

  // Nor does anybody see or end a key that is not theirs.
  expect(await bob.ask('GET', `?subject=${ada.userId}`)).toMatchObject({ status: 403 })
  expect(await bob.ask('GET', `/${made.body.id}`)).toMatchObject({ status: 404 })
  expect(await bob.ask('POST', `/${made.body.id}/revoke`, {})).toMatchObject({ status: 404 })
  expect(await verifies(made.body.secret)).toBe(200)
  expect((await bob.ask('GET', '')).body).toEqual({ data: [], total_count: 0 })
  const revoked = await ada.ask('POST', `/${made.body.id}/revoke`, { revocation_reason: 'done' })
  expect(revoked.body).toMatchObject({ revoked: true, revocation_reason: 'done' })
  expect(await verifies(made.body.secret)).toBe(404)
})

test('J1 keys of an organization take the permission in it, and the organization to be the active one', async () => {
  const { id } = await clerk.organizations.createOrganization({ name: 'Acme', createdBy: ada.userId })
  await clerk.organizations.createOrganizationMembership({ organizationId: id, userId: bob.userId, role: 'org:member' })
  const body = { name: 'ci', subject: id }
  expect(await ada.ask('POST', '', body)).toMatchObject({ status: 403 })
  await Promise.all([ada.activate(id), bob.activate(id)])
  expect(await bob.ask('POST', '', body)).toMatchObject({ status: 403, code: 'forbidden' })
  expect(await bob.ask('GET', `?subject=${id}`)).toMatchObject({ status: 403 })
  const made = await ada.ask('POST', '', { name: 'ci' })
  expect(made.body).toMatchObject({ subject: id, created_by: ada.userId })
  expect(await bob.ask('GET', `/${made.body.id}`)).toMatchObject({ status: 403 })
  expect(await bob.ask('POST', `/${made.body.id}/revoke`, {})).toMatchObject({ status: 403 })
  expect((await ada.ask('GET', `?subject=${id}`)).body.total_count).toBe(1)
  await Promise.all([ada.activate(''), bob.activate('')])
})

test('J1 nobody makes keys for a person in whose name they act, or before their sign-in is complete', async () => {
  const other = await testInstance()
  await set(other, { apiKeys: { users: true }, organizations: { forceSelection: true } })
  const eve = await page(other, 'eve@example.com')
  expect(await eve.ask('POST', '', { name: 'x' })).toMatchObject({ status: 403, code: 'forbidden' })
  await set(other, { apiKeys: { users: true }, organizations: { forceSelection: false } })
  expect(await eve.ask('POST', '', { name: 'x' })).toMatchObject({ status: 200 })

  const sdk = sdkOf(other)
  const support = await sdk.users.createUser({ skipPasswordRequirement: true, emailAddress: ['s@example.com'] })
  const { token } = await sdk.actorTokens.create({
    userId: eve.userId,
    actor: { sub: support.id },
    expiresInSeconds: 60,
  })
  const browser = new TestBrowser(other)
  const signIn = await browser.post('/client/sign_ins', { strategy: 'ticket', ticket: token ?? '' })
  const jwt = (await browser.post(`/client/sessions/${signIn.body.response.created_session_id}/tokens`)).body.jwt
  const headers = { authorization: `Bearer ${jwt}`, 'content-type': 'application/json' }
  for (const path of ['/api_keys', '/v1/api_keys', '//api_keys/']) {
    const response = await other.fetch(path, { method: 'POST', body: JSON.stringify({ name: 'backdoor' }), headers })
    expect([
      path,
      response.status,
      ((await response.json()) as { errors: { code: string }[] }).errors[0]?.code,
    ]).toEqual([path, 403, 'action_not_allowed_while_impersonating'])
  }
})

test('J2 A16 a person’s keys die with a ban, come back with its end, and are gone with the account', async () => {
  const { id: subject } = await newUser()
  const { id, secret } = await clerk.apiKeys.create({ name: 'own', subject })
  expect(await verifies(secret)).toBe(200)
  await clerk.users.banUser(subject)
  expect(await verifies(secret)).toBe(404)
  await clerk.users.unbanUser(subject)
  expect(await verifies(secret)).toBe(200)
  await clerk.users.deleteUser(subject)
  expect(await verifies(secret)).toBe(404)
  expect(await codeOf(clerk.apiKeys.get(id))).toBe('resource_not_found')
})

test('J2 I8 an organization’s keys die with it, and those that a member made die with the membership', async () => {
  const { id: subject } = await clerk.organizations.createOrganization({ name: 'Mortal', createdBy: ada.userId })
  const membership = { organizationId: subject, userId: bob.userId }
  await clerk.organizations.createOrganizationMembership({ ...membership, role: 'org:admin' })
  await bob.activate(subject)
  const own = (await bob.ask('POST', '', { name: 'of Bob' })).body
  const forBob = await clerk.apiKeys.create({ name: 'for Bob', subject, createdBy: bob.userId })
  const ofNobody = await clerk.apiKeys.create({ name: 'of the server', subject })
  const all = async () => Promise.all([own, forBob, ofNobody].map(({ secret }) => verifies(secret)))
  expect(await all()).toEqual([200, 200, 200])

  // Demoted: what they made by a permission that they have no more, waits.
  await clerk.organizations.updateOrganizationMembership({ ...membership, role: 'org:member' })
  expect(await all()).toEqual([404, 200, 200])
  await clerk.organizations.updateOrganizationMembership({ ...membership, role: 'org:admin' })
  await clerk.users.banUser(bob.userId)
  expect(await all()).toEqual([404, 404, 200])
  await clerk.users.unbanUser(bob.userId)
  expect(await all()).toEqual([200, 200, 200])

  // Removed: for good, also when they come back.
  await clerk.organizations.deleteOrganizationMembership(membership)
  expect(await all()).toEqual([404, 404, 200])
  expect(await clerk.apiKeys.get(own.id)).toMatchObject({
    revoked: true,
    revocationReason: 'Its maker left the organization',
  })
  expect((await clerk.apiKeys.list({ subject })).data.map(({ id }) => id)).toEqual([ofNobody.id])
  await clerk.organizations.createOrganizationMembership({ ...membership, role: 'org:admin' })
  expect(await all()).toEqual([404, 404, 200])
  // Their names are free.
  await clerk.apiKeys.create({ name: 'of Bob', subject })

  await clerk.organizations.deleteOrganization(subject)
  expect(await all()).toEqual([404, 404, 404])
})

test('J2 what a key may do is what its scopes and its maker’s role both allow, now', async () => {
  await clerk.organizationPermissions.createOrganizationPermission({ key: 'org:tasks:write', name: 'Write' })
  const { id: subject } = await clerk.organizations.createOrganization({ name: 'Scopes', createdBy: ada.userId })
  const key = { subject, createdBy: ada.userId }
  const both = await clerk.apiKeys.create({ ...key, name: 'both', scopes: ['org:tasks:write', 'export'] })
  const one = await clerk.apiKeys.create({ ...key, name: 'one', scopes: ['org:tasks:write'] })
  const scopesOf = async (secret = '') => (await clerk.apiKeys.verify(secret)).scopes
  // Ada's role does not have it yet. A key that is left without any scope would look like one without limits.
  expect(await scopesOf(both.secret)).toEqual(['export'])
  expect(await verifies(one.secret)).toBe(404)
  const grant = (method: string) =>
    t.fetch('/v1/organization_roles', { secretKey: true }).then(async (response) => {
      const { data } = (await response.json()) as { data: { id: string; key: string }[] }
      const role = data.find((r) => r.key === 'org:admin')?.id
      const permissions = await (await t.fetch('/v1/organization_permissions?limit=100', { secretKey: true })).json()
      const id = permissions.data.find((p: { key: string }) => p.key === 'org:tasks:write').id
      const done = await t.fetch(`/v1/organization_roles/${role}/permissions/${id}`, { method, secretKey: true })
      expect(done.status).toBe(200)
    })
  await grant('POST')
  expect([await scopesOf(both.secret), await scopesOf(one.secret)]).toEqual([
    ['org:tasks:write', 'export'],
    ['org:tasks:write'],
  ])
  await grant('DELETE')
  expect([await scopesOf(both.secret), await verifies(one.secret)]).toEqual([['export'], 404])
  expect((await clerk.apiKeys.get(both.id)).scopes).toEqual(['org:tasks:write', 'export'])
  const { id: person } = await newUser()
  expect(await codeOf(clerk.apiKeys.create({ subject: person, name: 'x', scopes: ['org:tasks:write'] }))).toBe(
    'form_param_value_invalid',
  )
})

test('a page of the application may ask, from wherever it stands and however proxies write the path', async () => {
  const origin = 'http://localhost:3000'
  const preflight = await t.fetch('//api_keys', {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  })
  expect(preflight.status).toBe(204)
  expect(preflight.headers.get('access-control-allow-headers')).toBe('authorization,content-type')
  const evil = { origin: 'https://evil.example', 'access-control-request-method': 'POST' }
  expect((await t.fetch('/api_keys', { method: 'OPTIONS', headers: evil })).status).toBe(403)
  for (const path of ['/api_keys', '//api_keys', '/v1/api_keys', '/api_keys/']) {
    const response = await t.fetch(path, { headers: { authorization: `Bearer ${await ada.token()}`, origin } })
    expect([path, response.status]).toEqual([path, 200])
    expect(response.headers.get('access-control-allow-origin')).toBe(origin)
  }
  // The secret key in a page is refused here as anywhere.
  expect((await t.fetch('/api_keys?subject=x', { secretKey: true, headers: { origin } })).status).toBe(403)
})

test('where people may make no keys, pages are told so, and the application’s server goes on', async () => {
  const other = await testInstance()
  const eve = await page(other, 'eve@example.com')
  expect(await eve.ask('POST', '', { name: 'x' })).toMatchObject({ status: 403, code: 'api_keys_not_enabled' })
  expect(await eve.ask('GET', '')).toMatchObject({ code: 'api_keys_not_enabled' })
  const environment = async () => (await (await other.fetch('/v1/environment')).json()).api_keys_settings
  expect(await environment()).toEqual({ user_api_keys_enabled: false, orgs_api_keys_enabled: false })
  const made = await sdkOf(other).apiKeys.create({ name: 'x', subject: eve.userId })
  expect((await sdkOf(other).apiKeys.verify(made.secret ?? '')).id).toBe(made.id)
  await set(other, { apiKeys: { users: true } })
  expect(await environment()).toEqual({ user_api_keys_enabled: true, orgs_api_keys_enabled: false })
  expect((await eve.ask('GET', '')).body.total_count).toBe(1)
})

test('it is noted when a key was used, and told what became of it; what is long over goes', async () => {
  const { id: subject } = await newUser()
  const { id, secret = '' } = await clerk.apiKeys.create({ name: 'used', subject })
  expect((await clerk.apiKeys.verify(secret)).lastUsedAt).toBeNull()
  let usedAt: number | null = null
  for (const end = Date.now() + 5000; usedAt === null && Date.now() < end; await Bun.sleep(50))
    usedAt = (await clerk.apiKeys.get(id)).lastUsedAt
  expect(usedAt).toBeGreaterThan(Date.now() - 10_000)
  await clerk.apiKeys.verify(secret)
  await Bun.sleep(1200)
  expect((await clerk.apiKeys.get(id)).lastUsedAt).toBe(usedAt)

  await clerk.apiKeys.update({ apiKeyId: id, subject, description: 'x' })
  await clerk.apiKeys.revoke({ apiKeyId: id, revocationReason: 'over' })
  await clerk.apiKeys.revoke({ apiKeyId: id, revocationReason: 'again' })
  const second = await clerk.apiKeys.create({ name: 'second', subject })
  const deletions = await Promise.allSettled(Array.from({ length: 4 }, () => clerk.apiKeys.delete(second.id)))
  expect(deletions.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  const told = async (subject: string) => {
    const { data } = await listEvents(t.ctx(), { limit: 500 })
    return data.filter((event) => event.subject === subject).map((event) => event.type)
  }
  // Events get their place in the stream a moment after the commit; the last of these is of the second key.
  for (const end = Date.now() + 5000; (await told(second.id)).length < 2 && Date.now() < end; ) await Bun.sleep(50)
  expect(await told(id)).toEqual(['apiKey.created', 'apiKey.updated', 'apiKey.revoked'])
  expect(await told(second.id)).toEqual(['apiKey.created', 'apiKey.deleted'])
  const { data: happened } = await listEvents(t.ctx(), { limit: 500 })
  const presented = await presentEvents(
    t.ctx(),
    happened.filter((event) => event.type.startsWith('apiKey.')),
  )
  const shown = presented.flatMap((data) => (data === undefined ? [] : [data as { id: string; deleted?: true }]))
  expect(shown.find((data) => data.id === id)).toMatchObject({ object: 'api_key', name: 'used', subject })
  expect(shown.find((data) => data.id === second.id && data.deleted)).toEqual({
    object: 'api_key',
    id: second.id,
    name: 'second',
    deleted: true,
  } as never)
  expect(JSON.stringify(shown)).not.toContain('ak_')
  t.advance(91 * 86_400_000)
  await deleteWhatIsOver(t.ctx())
  t.advance(-91 * 86_400_000)
  expect(await codeOf(clerk.apiKeys.get(id))).toBe('resource_not_found')
})
