import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ClerkClient, createClerkClient } from '@clerk/backend'
import { serverSdk } from '../support/clerk.ts'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** Machines and their tokens as an application has them: with the SDK, unmodified. */
let usher: UsherProcess
let clerk: ClerkClient

beforeAll(async () => {
  usher = await startUsher()
  clerk = serverSdk(usher.ready)
}, 60_000)
afterAll(() => usher.stop())

/** The SDK of a program that is a machine. */
const sdkOf = (machineSecretKey: string | undefined) =>
  createClerkClient({
    apiUrl: usher.ready.url,
    secretKey: usher.ready.secret_key,
    publishableKey: usher.ready.publishable_key,
    machineSecretKey,
    telemetry: { disabled: true },
  })
const statusOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 200,
    (error) => error.status ?? String(error),
  )

test('a machine is made, found, changed and deleted', async () => {
  const target = await clerk.machines.create({ name: 'Ledger' })
  const made = await clerk.machines.create({ name: 'Cron', defaultTokenTtl: 120, scopedMachines: [target.id] })
  expect(made.constructor.name).not.toBe('Object')
  expect(made).toMatchObject({
    name: 'Cron',
    defaultTokenTtl: 120,
    scopedMachines: [{ id: target.id, name: 'Ledger' }],
  })
  expect(made.id).toStartWith('mch_')
  expect(made.secretKey).toMatch(/^ak_[0-9A-Za-z]{43}$/)
  const known = await clerk.machines.get(made.id)
  expect(known.secretKey).toBeUndefined()
  expect((await clerk.machines.update({ machineId: made.id, name: 'Clock', defaultTokenTtl: 60 })).name).toBe('Clock')
  const listed = await clerk.machines.list({ query: 'cloc', orderBy: '-name' })
  expect(listed).toMatchObject({ totalCount: 1, data: [{ id: made.id, defaultTokenTtl: 60 }] })
  expect(await clerk.machines.getSecretKey(made.id)).toEqual({ secret: made.secretKey } as never)
  expect(await clerk.machines.deleteScope(made.id, target.id)).toMatchObject({ deleted: true })
  expect((await clerk.machines.get(made.id)).scopedMachines).toEqual([])
  expect(await clerk.machines.createScope(made.id, target.id)).toMatchObject({
    fromMachineId: made.id,
    toMachineId: target.id,
  })
  expect(await clerk.machines.delete(made.id)).toMatchObject({ id: made.id, deleted: true })
  expect(await statusOf(clerk.machines.get(made.id))).toBe(404)
})

test('a token of one machine, opaque or signed, is verified by the machine that it is for', async () => {
  const service = await clerk.machines.create({ name: 'Service' })
  const caller = await clerk.machines.create({ name: 'Caller', scopedMachines: [service.id] })
  const stranger = await clerk.machines.create({ name: 'Stranger', scopedMachines: [service.id] })
  const [callers, services] = [sdkOf(caller.secretKey), sdkOf(service.secretKey)]
  const claims = { job: 'nightly', batch: { size: 3 } }
  const opaque = await callers.m2m.createToken({ claims, secondsUntilExpiration: 300 })
  const jwt = await callers.m2m.createToken({ claims, tokenFormat: 'jwt', secondsUntilExpiration: 300 })
  expect(opaque.token).toMatch(/^mt_[0-9A-Za-z]{43}$/)
  expect(jwt.token?.split('.')).toHaveLength(3)
  for (const token of [opaque, jwt]) {
    expect(token).toMatchObject({ subject: caller.id, scopes: [service.id], claims, revoked: false, expired: false })
    const verified = await services.m2m.verify({ token: token.token as string })
    expect(verified).toMatchObject({ id: token.id, subject: caller.id, scopes: [service.id] })
    expect(verified.claims).toMatchObject(claims)
    const request = new Request('https://service.test/', { headers: { authorization: `Bearer ${token.token}` } })
    const state = await services.authenticateRequest(request, { acceptsToken: 'm2m_token', audience: service.id })
    expect(state.toAuth()).toMatchObject({ isAuthenticated: true, machineId: caller.id, scopes: [service.id] })
    // For a session it is nothing, and neither for a machine that the caller may not talk to.
    expect((await services.authenticateRequest(request)).isAuthenticated).toBe(false)
    const refused = await sdkOf(stranger.secretKey).authenticateRequest(request, {
      acceptsToken: 'm2m_token',
      audience: stranger.id,
    })
    expect(refused.isAuthenticated).toBe(false)
    if (token === opaque) expect(refused.reason).toBe('token-invalid')
  }

  const { data, totalCount } = await callers.m2m.list({ subject: caller.id })
  expect([data.map((t) => t.id).sort(), totalCount]).toEqual([[opaque.id, jwt.id].sort(), 2])
  expect(data.every((t) => t.token === undefined)).toBe(true)
  expect(await statusOf(callers.m2m.list({ subject: service.id }))).toBe(403)
  const revoked = await callers.m2m.revokeToken({ m2mTokenId: opaque.id, revocationReason: 'done' })
  expect(revoked).toMatchObject({ revoked: true, revocationReason: 'done' })
  expect(await statusOf(services.m2m.verify({ token: opaque.token as string }))).toBe(404)
  expect((await clerk.m2m.list({ subject: caller.id })).totalCount).toBe(1)
  expect((await clerk.m2m.list({ subject: caller.id, revoked: true })).totalCount).toBe(2)
})

test('a token is handed out again while it lives long enough, to many that ask at once', async () => {
  const { secretKey } = await clerk.machines.create({ name: 'Worker', defaultTokenTtl: 600 })
  const { m2m } = sdkOf(secretKey)
  const ask = (claims: Record<string, unknown> | null, minRemainingTtlSeconds = 500) =>
    m2m.createToken({ claims, minRemainingTtlSeconds })
  const pool = await Promise.all(Array.from({ length: 8 }, () => ask({ a: 1, b: [2] })))
  expect(new Set(pool.map((t) => t.token)).size).toBe(1)
  expect((await ask({ b: [2], a: 1 })).token).toBe(pool[0]?.token as string)
  expect((await ask({ a: 1 })).token).not.toBe(pool[0]?.token as string)
  const plain = await ask(null)
  expect((await ask(null)).id).toBe(plain.id)
  // Whoever does not ask for it has a token for itself.
  expect((await m2m.createToken()).id).not.toBe(plain.id)
  await m2m.revokeToken({ m2mTokenId: plain.id })
  expect((await ask(null)).id).not.toBe(plain.id)
  expect(await statusOf(ask(null, 600))).toBe(422)
})

test('a key that was replaced opens for as long as was said', async () => {
  const machine = await clerk.machines.create({ name: 'Rotated' })
  const { secret } = await clerk.machines.rotateSecretKey({ machineId: machine.id, previousTokenTtl: 60 })
  expect(secret).not.toBe(machine.secretKey as string)
  for (const key of [machine.secretKey, secret]) expect(await statusOf(sdkOf(key).m2m.createToken())).toBe(200)
  const { secret: last } = await clerk.machines.rotateSecretKey({ machineId: machine.id, previousTokenTtl: 0 })
  for (const key of [machine.secretKey, secret]) expect(await statusOf(sdkOf(key).m2m.createToken())).toBe(401)
  expect(await statusOf(sdkOf(last).m2m.createToken())).toBe(200)
  // The application’s own key is of no machine.
  expect(await statusOf(clerk.m2m.createToken())).toBe(403)
})
