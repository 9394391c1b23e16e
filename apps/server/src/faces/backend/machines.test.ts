import { expect, test } from 'bun:test'
import { transaction } from '../../database/index.ts'
import {
  createM2mToken,
  findMachineBySecretKey,
  listM2mTokens,
  revokeM2mToken,
  rotateSecretKey,
  verifyM2mToken,
} from '../../domains/machines/index.ts'
import { m2mTokens, machineScopes, machineSecretKeys } from '../../domains/machines/tables.ts'
import { signJwt } from '../../domains/sessions/index.ts'
import { deleteWhatIsOver } from '../../domains/upkeep/index.ts'
import { type TestInstance, testInstance } from '../../testing/server.ts'

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire, for assertions
type Json = any

/** Calls as the application, or as a machine with its own key. */
async function call(t: TestInstance, method: string, path: string, body?: unknown, bearer = t.secretKey) {
  const response = await t.fetch(path, {
    method,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    body: (text && JSON.parse(text)) as Json,
    type: response.headers.get('content-type'),
  }
}

async function machine(t: TestInstance, name: string, more: object = {}): Promise<{ id: string; key: string }> {
  const { status, body } = await call(t, 'POST', '/v1/machines', { name, ...more })
  expect(status).toBe(200)
  return { id: body.id, key: body.secret_key }
}
const newToken = async (t: TestInstance, key: string, more: object = {}): Promise<{ id: string; token: string }> => {
  const { status, body } = await call(t, 'POST', '/m2m_tokens', more, key)
  expect(status).toBe(201)
  return body
}
const formats = ['opaque', 'jwt'] as const
const verify = async (t: TestInstance, key: string, token: string) =>
  (await call(t, 'POST', '/m2m_tokens/verify', { token }, key)).status

test('J10 a machine’s token is accepted by the machines that it may talk to and by no other, for all pairs', async () => {
  const t = await testInstance()
  const all = [await machine(t, 'A'), await machine(t, 'B'), await machine(t, 'C'), await machine(t, 'D')]
  const [a, b, c, d] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0], (typeof all)[0]]
  // A chain and a pair: nothing follows from two scopes in a row, and nothing leads back.
  const scopes = [
    [a, b],
    [b, c],
    [c, d],
    [d, c],
  ] as const
  for (const [from, to] of scopes)
    expect((await call(t, 'POST', `/v1/machines/${from.id}/scopes`, { to_machine_id: to.id })).status).toBe(200)
  for (const format of formats)
    for (const from of all) {
      const { token } = await newToken(t, from.key, { token_format: format })
      for (const to of all) {
        const allowed = scopes.some(([f, to_]) => f === from && to_ === to)
        expect([format, from.id, to.id, await verify(t, to.key, token)]).toEqual([
          format,
          from.id,
          to.id,
          allowed ? 200 : 404,
        ])
      }
      // The application set the scopes: it may look at each.
      expect(await verify(t, t.secretKey, token)).toBe(200)
    }
  // What is not for the asking machine looks like what does not exist.
  const { token } = await newToken(t, a.key)
  const stranger = await call(t, 'POST', '/m2m_tokens/verify', { token }, c.key)
  const nothing = await call(t, 'POST', '/m2m_tokens/verify', { token: `mt_${'x'.repeat(43)}` }, c.key)
  expect([stranger.status, stranger.body.errors]).toEqual([404, nothing.body.errors])
})

test('J10 a scope, a token, a key or a machine that is taken away is dead at once', async () => {
  const t = await testInstance()
  for (const format of formats) {
    const to = await machine(t, 'Service')
    const from = await machine(t, 'Caller', { scoped_machines: [to.id] })
    const scope = `/v1/machines/${from.id}/scopes`
    const { token, id } = await newToken(t, from.key, { token_format: format })
    expect(await verify(t, to.key, token)).toBe(200)
    expect((await call(t, 'DELETE', `${scope}/${to.id}`)).body).toEqual({
      object: 'machine_scope',
      from_machine_id: from.id,
      to_machine_id: to.id,
      deleted: true,
    })
    expect(await verify(t, to.key, token)).toBe(404)
    const late = await machine(t, 'Later')
    for (const target of [to, late])
      expect((await call(t, 'POST', scope, { to_machine_id: target.id })).status).toBe(200)
    // A signed token says for whom it was made; an opaque one goes where its machine may go.
    expect(await verify(t, late.key, token)).toBe(format === 'jwt' ? 404 : 200)
    expect((await call(t, 'POST', `/m2m_tokens/${id}/revoke`, {}, to.key)).status).toBe(404)
    expect(await verify(t, to.key, token)).toBe(200)
    expect((await call(t, 'POST', `/m2m_tokens/${id}/revoke`, { revocation_reason: 'x' }, from.key)).status).toBe(200)
    expect(await verify(t, to.key, token)).toBe(404)
    const again = await newToken(t, from.key, { token_format: format })
    const rotated = await call(t, 'POST', `/v1/machines/${to.id}/secret_key/rotate`, { previous_token_ttl: 0 })
    expect(await verify(t, to.key, again.token)).toBe(401)
    expect(await verify(t, rotated.body.secret, again.token)).toBe(200)
    expect((await call(t, 'DELETE', `/v1/machines/${from.id}`)).body.deleted).toBe(true)
    expect(await verify(t, rotated.body.secret, again.token)).toBe(404)
    expect(await verify(t, t.secretKey, again.token)).toBe(404)
    expect((await call(t, 'POST', '/m2m_tokens', {}, from.key)).status).toBe(401)
  }
})

test('J10 another instance’s machines, tokens and scopes do not exist', async () => {
  const [t, other] = [await testInstance(), await testInstance()]
  const [mine, theirs] = [await machine(t, 'Mine'), await machine(other, 'Theirs')]
  for (const [method, path, body] of [
    ['GET', `/v1/machines/${theirs.id}`],
    ['PATCH', `/v1/machines/${theirs.id}`, { name: 'x' }],
    ['DELETE', `/v1/machines/${theirs.id}`],
    ['GET', `/v1/machines/${theirs.id}/secret_key`],
    ['POST', `/v1/machines/${theirs.id}/secret_key/rotate`, { previous_token_ttl: 0 }],
    ['POST', `/v1/machines/${theirs.id}/scopes`, { to_machine_id: mine.id }],
    ['POST', `/v1/machines/${mine.id}/scopes`, { to_machine_id: theirs.id }],
    ['DELETE', `/v1/machines/${theirs.id}/scopes/${mine.id}`],
    ['POST', '/v1/machines', { name: 'x', scoped_machines: [theirs.id] }],
  ] as const)
    expect([method, path, (await call(t, method, path, body)).status]).toEqual([method, path, 404])
  expect((await call(t, 'GET', '/v1/machines')).body.total_count).toBe(1)
  for (const format of formats) {
    const { token, id } = await newToken(other, theirs.key, { token_format: format })
    for (const key of [t.secretKey, mine.key]) {
      expect(await verify(t, key, token)).toBe(404)
      expect((await call(t, 'POST', `/m2m_tokens/${id}/revoke`, {}, key)).status).toBe(404)
    }
    // Whose the key is decides, and not the host that was called.
    expect(await verify(t, other.secretKey, token)).toBe(200)
    expect((await call(t, 'GET', `/m2m_tokens?subject=${theirs.id}`)).body.total_count).toBe(0)
  }
  // The database itself takes no scope between two instances.
  const across = transaction(t.ctx(), (tx) =>
    tx.db.insert(machineScopes).values({
      instanceId: t.ctx().instance.id,
      fromMachineId: mine.id,
      toMachineId: theirs.id,
      createdAt: new Date(),
    }),
  )
  await expect(across).rejects.toMatchObject({ cause: { errno: '23503' } })
})

test('J10 nobody but machines and the application lists tokens or takes them away', async () => {
  const t = await testInstance()
  const a = await machine(t, 'A')
  const { id } = await newToken(t, a.key)
  const ctx = t.ctx({ type: 'user', userId: 'u', sessionId: 's', clientId: 'c', organizationId: null })
  const list = { machineId: a.id, revoked: true, expired: true, limit: 10, offset: 0 }
  await expect(listM2mTokens(ctx, list)).rejects.toMatchObject({ code: 'forbidden' })
  await expect(revokeM2mToken(ctx, { id })).rejects.toMatchObject({ code: 'forbidden' })
  expect((await listM2mTokens(t.ctx(), list)).data).toMatchObject([{ id, revokedAt: null }])
})

test('what makes no sense is refused', async () => {
  const t = await testInstance()
  const { id, key } = await machine(t, 'Cron', { default_token_ttl: 100 })
  const nested = (size: number) => ({ claims: { text: 'x'.repeat(size) } })
  for (const [method, path, body, bearer, status] of [
    ['POST', '/v1/machines', {}, t.secretKey, 422],
    ['POST', '/v1/machines', { name: '' }, t.secretKey, 422],
    ['POST', '/v1/machines', { name: 'x', default_token_ttl: 0 }, t.secretKey, 422],
    ['POST', '/v1/machines', { name: 'x', default_token_ttl: 400 * 86_400 }, t.secretKey, 422],
    ['POST', `/v1/machines/${id}/scopes`, { to_machine_id: id }, t.secretKey, 422],
    ['POST', `/v1/machines/${id}/scopes`, { to_machine_id: 'mch_nobody' }, t.secretKey, 404],
    ['DELETE', `/v1/machines/${id}/scopes/mch_nobody`, undefined, t.secretKey, 404],
    ['POST', `/v1/machines/${id}/secret_key/rotate`, {}, t.secretKey, 422],
    ['POST', `/v1/machines/${id}/secret_key/rotate`, { previous_token_ttl: -1 }, t.secretKey, 422],
    ['POST', `/v1/machines/${id}/secret_key/rotate`, { previous_token_ttl: 28_801 }, t.secretKey, 422],
    ['GET', '/v1/machines?order_by=secret', undefined, t.secretKey, 422],
    ['POST', '/m2m_tokens', { seconds_until_expiration: 0 }, key, 422],
    ['POST', '/m2m_tokens', { token_format: 'jwt', seconds_until_expiration: 86_401 }, key, 422],
    ['POST', '/m2m_tokens', { token_format: 'paseto' }, key, 422],
    ['POST', '/m2m_tokens', { min_remaining_ttl_seconds: 100 }, key, 422],
    ['POST', '/m2m_tokens', { claims: 'x' }, key, 422],
    ['POST', '/m2m_tokens', nested(4096), key, 422],
    ['POST', '/m2m_tokens', nested(4000), key, 201],
    ['POST', '/m2m_tokens', { claims: { text: '\u0000' } }, key, 422],
    ['GET', '/m2m_tokens', undefined, t.secretKey, 422],
    ['POST', '/m2m_tokens/verify', {}, key, 422],
    ['POST', '/m2m_tokens/verify', { token: 'a.b.c' }, key, 404],
    ['POST', '/m2m_tokens/verify', { token: '' }, key, 404],
    // A machine’s key is for its tokens and for nothing else.
    ['GET', '/v1/machines', undefined, key, 404],
    ['GET', '/v1/users', undefined, key, 404],
    ['POST', '/m2m_tokens', {}, 'ak_nobody', 401],
    ['POST', '/m2m_tokens', {}, `ak_${'x'.repeat(43)}`, 401],
    ['POST', '/m2m_tokens', {}, 'sk_test_nobody', 401],
    ['POST', '/m2m_tokens', {}, 'nothing', 401],
    ['POST', '/v1/m2m_tokens', {}, key, 201],
    ['GET', '/v1/m2m_tokens/nonsense', undefined, key, 401],
  ] as const) {
    const answer = await call(t, method, path, body, bearer)
    expect([method, path, body, answer.status]).toEqual([method, path, body, status])
    expect(answer.type).toBe('application/json')
  }
  for (const name of ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'scopes', 'sid', 'azp', 'act'])
    for (const format of formats) {
      const body = { token_format: format, claims: { fine: 1, [name]: 'x' } }
      expect([name, (await call(t, 'POST', '/m2m_tokens', body, key)).status]).toEqual([name, 422])
    }
  const page = await t.fetch('/m2m_tokens', {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, origin: 'https://app.example.com' },
  })
  expect(page.status).toBe(403)
})

test('tokens run out, keys that were replaced too, and what is over is deleted', async () => {
  const t = await testInstance()
  const to = await machine(t, 'Service')
  const from = await machine(t, 'Caller', { scoped_machines: [to.id], default_token_ttl: 60 })
  const ctx = () => t.ctx({ type: 'machine', machineId: from.id })
  const receiver = () => t.ctx({ type: 'machine', machineId: to.id })
  const tokens = await Promise.all(formats.map((format) => createM2mToken(ctx(), { format })))
  const refusal = (token: string) =>
    verifyM2mToken(receiver(), token).then(
      () => 'accepted',
      (error) => error.code,
    )
  t.advance(58_000)
  for (const { token } of tokens) expect(await refusal(token)).toBe('accepted')
  t.advance(2500)
  for (const { token } of tokens) expect(await refusal(token)).toBe('resource_not_found')

  const { database } = t.server.runtime
  const isKey = async (key: string) => (await findMachineBySecretKey(database, key, t.ctx().now())) !== undefined
  const second = await rotateSecretKey(t.ctx(), { machineId: from.id, previousTokenTtl: 3600 })
  const third = await rotateSecretKey(t.ctx(), { machineId: from.id, previousTokenTtl: 60 })
  expect(await Promise.all([from.key, second, third].map(isKey))).toEqual([true, true, true])
  t.advance(61_000)
  // The first one was given an hour, and the later rotation took it away.
  expect(await Promise.all([from.key, second, third].map(isKey))).toEqual([false, false, true])

  const left = () =>
    transaction(t.ctx(), async (tx) => [await tx.db.$count(machineSecretKeys), await tx.db.$count(m2mTokens)])
  expect(await left()).toEqual([4, 2])
  await deleteWhatIsOver(t.ctx())
  expect(await left()).toEqual([2, 2])
  t.advance(31 * 86_400_000)
  await deleteWhatIsOver(t.ctx())
  expect(await left()).toEqual([2, 0])
})

test('of many rotations at once one key is current, and keys cannot be read from the table', async () => {
  const t = await testInstance()
  const { id, key } = await machine(t, 'Cron')
  const rotate = { previous_token_ttl: 0 }
  const path = `/v1/machines/${id}/secret_key`
  const made = await Promise.all(Array.from({ length: 6 }, () => call(t, 'POST', `${path}/rotate`, rotate)))
  expect(made.map(({ status }) => status)).toEqual(Array(6).fill(200))
  const keys = made.map(({ body }) => body.secret as string)
  expect(new Set(keys).size).toBe(6)
  const current = (await call(t, 'GET', path)).body.secret
  for (const each of [key, ...keys])
    expect((await call(t, 'GET', '/m2m_tokens', undefined, each)).status).toBe(each === current ? 200 : 401)
  const { token } = await newToken(t, current, { min_remaining_ttl_seconds: 1 })
  const { systemSql } = t.server.runtime.database
  const [row] = await systemSql`
    select string_agg(k::text, ' ') as text from machine_secret_keys k where machine_id = ${id}`
  const tokens = await transaction(t.ctx(), (tx) => tx.db.select().from(m2mTokens))
  for (const secret of [...keys, token]) expect(`${row.text} ${JSON.stringify(tokens)}`).not.toContain(secret.slice(3))
  const events = await call(t, 'GET', '/v1/events?type=machine.*')
  expect(JSON.stringify(events.body)).not.toContain(current)
})

test('claims come back as they were sent, in both formats, however they are written', async () => {
  const t = await testInstance()
  const { key } = await machine(t, 'Cron')
  const all = [
    '{"b":1,"1":2,"0":{"z":[],"a":null}}',
    '{"__proto__":{"admin":true},"constructor":"x"}',
    '{"number":-0.0,"large":12345678901234567890,"small":1e-7,"text":"ü 漢 \\ud83d\\ude00 \\u0001"}',
    '{"":"empty","a.b":"dot","ISS":"not reserved"}',
  ]
  for (const text of all)
    for (const format of formats) {
      const response = await t.fetch('/m2m_tokens', {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: `{"token_format":"${format}","claims":${text}}`,
      })
      const made = (await response.json()) as Json
      expect([text, response.status]).toEqual([text, 201])
      const { status, body } = await call(t, 'POST', '/m2m_tokens/verify', { token: made.token })
      expect([text, format, status]).toEqual([text, format, 200])
      expect(body.claims).toEqual(made.claims)
      // Own properties and not the nature of the object.
      expect(body.claims.admin).toBeUndefined()
    }
})

test('J10 a signed token that was bent, or is of another class, is of no machine', async () => {
  const t = await testInstance()
  const to = await machine(t, 'Service')
  const from = await machine(t, 'Caller', { scoped_machines: [to.id] })
  const { token } = await newToken(t, from.key, { token_format: 'jwt' })
  const [head = '', body = '', signature = ''] = token.split('.')
  const recode = (part: string, change: object) =>
    Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(part, 'base64url').toString()), ...change })).toString(
      'base64url',
    )
  const { instance } = t.ctx()
  const session = await signJwt(
    instance,
    { typ: 'JWT', cat: 'cl_B7d4PD222AAA' },
    JSON.parse(Buffer.from(body, 'base64url').toString()),
  )
  for (const bent of [
    `${head}.${recode(body, { aud: [to.id, from.id] })}.${signature}`,
    `${head}.${recode(body, { sub: to.id })}.${signature}`,
    `${recode(head, { alg: 'none' })}.${body}.`,
    `${recode(head, { alg: 'HS256' })}.${body}.${signature}`,
    `${recode(head, { cat: undefined })}.${body}.${signature}`,
    `${head}.${body}.${signature}=`,
    `${head}.${body}.${signature}.`,
    ` ${token}`,
    session,
    `mt_${token}`,
  ])
    for (const key of [to.key, t.secretKey])
      expect([bent.slice(0, 60), await verify(t, key, bent)]).toEqual([bent.slice(0, 60), 404])
  expect(await verify(t, to.key, token)).toBe(200)
})

test('a machine that is deleted while it makes tokens leaves none behind', async () => {
  const t = await testInstance()
  for (const format of formats) {
    const to = await machine(t, 'Service')
    const from = await machine(t, 'Caller', { scoped_machines: [to.id] })
    const made = Array.from({ length: 8 }, () => call(t, 'POST', '/m2m_tokens', { token_format: format }, from.key))
    const [gone, ...answers] = await Promise.all([call(t, 'DELETE', `/v1/machines/${from.id}`), ...made])
    expect(gone.status).toBe(200)
    for (const { status, body } of answers) {
      expect([201, 401]).toContain(status)
      if (status === 201) expect(await verify(t, to.key, body.token)).toBe(404)
    }
  }
  expect(await transaction(t.ctx(), (tx) => tx.db.$count(m2mTokens))).toBe(0)
})

test('J10 a token that is given out again lives no longer than was asked for, and none says what a session says', async () => {
  const t = await testInstance()
  const { key } = await machine(t, 'Cron')
  const year = await newToken(t, key, { seconds_until_expiration: 365 * 86_400, min_remaining_ttl_seconds: 0 })
  const asked = { seconds_until_expiration: 60, min_remaining_ttl_seconds: 30 }
  const short = await newToken(t, key, asked)
  expect(short.id).not.toBe(year.id)
  expect((await newToken(t, key, asked)).id).toBe(short.id)
  for (const name of ['org_id', 'org_role', 'org_slug', 'org_permissions'])
    for (const token_format of formats) {
      const refused = await call(t, 'POST', '/m2m_tokens', { token_format, claims: { [name]: 'org:admin' } }, key)
      expect([name, refused.status]).toEqual([name, 422])
    }
})
