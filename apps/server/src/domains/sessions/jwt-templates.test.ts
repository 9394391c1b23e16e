import { expect, spyOn, test } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { transaction } from '../../database/index.ts'
import { claimsOf, TestBrowser } from '../../faces/frontend/testing.ts'
import { testInstance } from '../../testing/server.ts'
import { createOrganization } from '../organizations/index.ts'
import { mergeUserMetadata, updateUser } from '../users/index.ts'
import { createJwtTemplate, updateJwtTemplate, verifySessionToken } from './index.ts'
import { jwtTemplates } from './tables.ts'

async function signedIn() {
  const t = await testInstance()
  const browser = new TestBrowser(t)
  const { userId, sessionId } = await browser.signUp('ada@example.com')
  const token = async (template: string) => browser.post(`/client/sessions/${sessionId}/tokens/${template}`)
  const jwks = createLocalJWKSet(await (await t.fetch('/.well-known/jwks.json')).json())
  return { t, browser, userId, sessionId, token, jwks }
}

test('a template with a shared key serves a service that knows the key and nothing else (Tinybird)', async () => {
  const { t, browser, userId, sessionId, token } = await signedIn()
  const { id, slug } = await createOrganization(t.ctx(), { name: 'Acme Analytics', createdBy: userId })
  await browser.post(`/client/sessions/${sessionId}/touch`, { active_organization_id: id })
  const signingKey = `p.${'k'.repeat(120)}`
  await createJwtTemplate(t.ctx(), {
    name: 'tinybird',
    claims: {
      name: 'frontend_jwt',
      workspace_id: 'a1b2c3',
      scopes: [
        {
          type: 'PIPES:READ',
          resource: 'top_pages',
          fixed_params: { organization: '{{org.slug}}', user: '{{user.id}}' },
        },
      ],
      limits: { rps: 10 },
    },
    lifetime: 600,
    customSigningKey: true,
    signingAlgorithm: 'HS256',
    signingKey,
  })
  const { status, body } = await token('tinybird')
  expect(status).toBe(200)
  expect(Object.keys(body).sort()).toEqual(['jwt', 'object'])
  const { payload, protectedHeader } = await jwtVerify(body.jwt, new TextEncoder().encode(signingKey), {
    algorithms: ['HS256'],
  })
  expect(protectedHeader).toEqual({ alg: 'HS256', typ: 'JWT', cat: 'cl_B7d4PD222AAA' })
  expect(payload).toMatchObject({
    workspace_id: 'a1b2c3',
    scopes: [{ resource: 'top_pages', fixed_params: { organization: slug, user: userId } }],
    limits: { rps: 10 },
    sub: userId,
    iss: `https://${t.host}`,
    azp: 'http://localhost:3000',
  })
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(600)
  expect((payload.iat ?? 0) - (payload.nbf ?? 0)).toBe(5)
})

test('each algorithm signs with its kind of key, and only with that', async () => {
  const { t, token } = await signedIn()
  const pem = (pair: { privateKey: { export: (o: never) => unknown } }, type = 'pkcs8') =>
    pair.privateKey.export({ type, format: 'pem' } as never) as string
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const curve = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
  const [p256, p384, p521] = [curve('P-256'), curve('P-384'), curve('P-521')]
  const cases = [
    ['RS256', pem(rsa), rsa.publicKey],
    ['RS384', pem(rsa, 'pkcs1'), rsa.publicKey],
    ['RS512', pem(rsa), rsa.publicKey],
    ['ES256', pem(p256), p256.publicKey],
    ['ES384', pem(p384, 'sec1'), p384.publicKey],
    ['ES512', pem(p521), p521.publicKey],
    ['HS384', 's'.repeat(48), new TextEncoder().encode('s'.repeat(48))],
    ['HS512', 's'.repeat(64), new TextEncoder().encode('s'.repeat(64))],
  ] as const
  for (const [signingAlgorithm, signingKey, verifyKey] of cases) {
    const name = signingAlgorithm.toLowerCase()
    await createJwtTemplate(t.ctx(), { name, claims: {}, customSigningKey: true, signingAlgorithm, signingKey })
    const { body } = await token(name)
    await jwtVerify(body.jwt, verifyKey, { algorithms: [signingAlgorithm] })
  }
  const refused = [
    ['HS256', 's'.repeat(31)],
    ['HS512', 's'.repeat(63)],
    ['RS256', pem(short)],
    ['RS256', pem(p256)],
    ['RS256', 'no key'],
    ['ES256', pem(p384)],
    ['ES256', pem(rsa)],
    ['none', 's'.repeat(64)],
    ['PS256', pem(rsa)],
  ] as const
  for (const [signingAlgorithm, signingKey] of refused)
    await expect(
      createJwtTemplate(t.ctx(), { name: 'x', claims: {}, customSigningKey: true, signingAlgorithm, signingKey }),
    ).rejects.toMatchObject({ code: 'form_param_value_invalid' })
})

test('without a key of its own the instance signs, and the token is no session token', async () => {
  const { t, token, jwks } = await signedIn()
  await createJwtTemplate(t.ctx(), { name: 'plain', claims: { aud: 'service', who: '{{user.primary_email_address}}' } })
  const { body } = await token('plain')
  const { payload } = await jwtVerify(body.jwt, jwks, { audience: 'service' })
  expect(payload).toMatchObject({ who: 'ada@example.com' })
  await expect(verifySessionToken(t.ctx(), body.jwt)).rejects.toMatchObject({ code: 'authentication_invalid' })
  expect((await token('unknown')).status).toBe(404)
})

test('tokens of templates need no query once the templates and the client are known, and changes count at once', async () => {
  const { t, userId, token } = await signedIn()
  const ctx = t.ctx()
  const { id } = await createJwtTemplate(ctx, { name: 'who', claims: { name: '{{user.first_name}}' } })
  await token('who')
  const queries = spyOn(t.server.runtime.database.tenant, 'begin')
  for (let i = 0; i < 10; i += 1) expect((await token('who')).status).toBe(200)
  expect(queries).not.toHaveBeenCalled()
  queries.mockRestore()

  await updateUser(ctx, { id: userId, firstName: 'Ada' })
  expect(claimsOf((await token('who')).body.jwt).name).toBe('Ada')
  await updateJwtTemplate(ctx, { id, name: 'who', claims: { last: '{{user.last_name || "?"}}' }, lifetime: 90 })
  const changed = claimsOf((await token('who')).body.jwt)
  expect(changed).toMatchObject({ last: '?', exp: changed.iat + 90 })
  expect(changed.name).toBeUndefined()
})

test('a key is written and never read: not in an answer, not in the table, and it stays when others change', async () => {
  const { t, token } = await signedIn()
  const signing_key = 'the shared secret of two services'
  const call = async (method: string, path: string, body?: object) => {
    const response = await t.fetch(`/v1/jwt_templates${path}`, {
      method,
      secretKey: true,
      ...(body && { body: JSON.stringify(body) }),
    })
    return response.text()
  }
  const custom = { custom_signing_key: true, signing_algorithm: 'HS256' }
  const made = await call('POST', '', { name: 'sealed', claims: {}, ...custom, signing_key })
  const { id } = JSON.parse(made)
  const changed = await call('PATCH', `/${id}`, { name: 'sealed', claims: { a: 1 }, ...custom })
  const all = [made, changed, await call('GET', `/${id}`), await call('GET', '?paginated=true')].join()
  expect(all).not.toContain(signing_key)
  const stored = await transaction(t.ctx(), (tx) => tx.db.select().from(jwtTemplates))
  expect(JSON.stringify(stored)).not.toContain(signing_key)
  const { body } = await token('sealed')
  await jwtVerify(body.jwt, new TextEncoder().encode(signing_key))
  expect(claimsOf(body.jwt).a).toBe(1)
})

test('D8 reserved claims are refused at save, win at mint, and what people write themselves has its own path', async () => {
  const { t, userId, sessionId, token } = await signedIn()
  const ctx = t.ctx()
  for (const claims of [{ sub: 'user_1' }, { exp: 9e9 }, { iss: 'x' }, { o: { rol: 'admin' } }, { act: {} }])
    await expect(createJwtTemplate(ctx, { name: 'x', claims })).rejects.toMatchObject({
      code: 'form_param_value_invalid',
    })
  await mergeUserMetadata(ctx, {
    id: userId,
    unsafeMetadata: { role: 'admin', sub: 'user_root', evil: '{{user.id}}' },
    publicMetadata: { tier: { name: 'pro' } },
  })
  await createJwtTemplate(ctx, {
    name: 'metadata',
    claims: {
      role: '{{user.public_metadata.role || user.role || "none"}}',
      all: '{{user}}',
      metadata: '{{user.metadata}}',
      private: '{{user.private_metadata}}',
      tier: '{{user.public_metadata.tier.name}}',
      own: '{{user.unsafe_metadata.role}}',
      evil: '{{user.unsafe_metadata.evil}}',
    },
  })
  expect(claimsOf((await token('metadata')).body.jwt)).toMatchObject({
    sub: userId,
    role: 'none',
    all: null,
    metadata: null,
    private: null,
    tier: 'pro',
    own: 'admin',
    evil: '{{user.id}}',
  })
  // Too large: at save, and when somebody's data make it so.
  await expect(createJwtTemplate(ctx, { name: 'big', claims: { x: 'y'.repeat(1e6) } })).rejects.toMatchObject({
    code: 'form_param_max_length_exceeded',
  })
  await createJwtTemplate(ctx, {
    name: 'grows',
    claims: { all: ['{{user.public_metadata}}', '{{user.public_metadata}}', '{{user.public_metadata}}'] },
  })
  await mergeUserMetadata(ctx, { id: userId, publicMetadata: { long: 'x'.repeat(6000) } })
  const { status, body } = await token('grows')
  expect([status, body.errors[0].code]).toEqual([422, 'token_too_large'])
  expect(sessionId).toStartWith('sess_')
})

test('an instance adds claims of its own to session tokens, which never replace the server’s and fit into a cookie', async () => {
  const { t, browser, userId, sessionId } = await signedIn()
  const { instances } = t.server.runtime
  const { id } = t.ctx().instance
  const set = (claims: object) => instances.changeSettings(id, { session: { claims } })
  for (const claims of [{ sub: 'x' }, { sid: 'x' }, { v: 1 }, { big: 'x'.repeat(3000) }, { broken: '{{user.' }])
    await expect(set(claims)).rejects.toMatchObject({ code: 'form_param_value_invalid' })
  await set({ metadata: '{{user.public_metadata}}', mail: '{{user.primary_email_address}}' })
  await mergeUserMetadata(t.ctx(), { id: userId, publicMetadata: { onboarded: true } })
  const mint = () => browser.post(`/client/sessions/${sessionId}/tokens`)
  const { jwt } = (await mint()).body
  expect(await verifySessionToken(t.ctx(), jwt)).toMatchObject({
    metadata: { onboarded: true },
    mail: 'ada@example.com',
    sub: userId,
    sid: sessionId,
  })
  expect(decodeProtectedHeader(jwt).cat).toBe('cl_B7d4PD111AAA')

  await mergeUserMetadata(t.ctx(), { id: userId, publicMetadata: { long: 'x'.repeat(4000) } })
  expect((await mint()).body.errors[0].code).toBe('token_too_large')
  // The client is shown all the same, and the person can sign out.
  const { body } = await browser.get('/client')
  expect(body.response.sessions[0]).toMatchObject({ id: sessionId, last_active_token: null })
  expect((await browser.send('DELETE', '/client/sessions')).status).toBe(200)
})
