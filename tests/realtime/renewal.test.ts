import { expect, test } from 'bun:test'
import { createSyncTokenForBackend } from '../../apps/server/src/domains/sync/index.ts'
import { signSyncToken } from '../../apps/server/src/domains/sync/sync-token.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { named, somebody } from './named.ts'
import { raw, until } from './support.ts'

const step1 = Uint8Array.of(0, 0, 1, 0)
const letter = (client: number) => Uint8Array.of(0, 2, 11, 1, 1, client, 0, 4, 1, 1, 116, 1, 97, 0)

async function world() {
  const t = await testInstance()
  const userId = await somebody(t)
  const url = (docId: string) => `ws://127.0.0.1:${t.server.port}/sync/${docId}`
  const grant = async (docId: string, access: 'read' | 'write' = 'write', expiresInSeconds = 60, of = userId) =>
    (await createSyncTokenForBackend(t.ctx(), { docId, userId: of, access, expiresInSeconds })).token
  return { t, userId, url, grant, headers: { host: t.host } }
}

/** How many rows a document has: whatever was written shows here. */
const stored = async (t: TestInstance, docId: string) =>
  (await t.server.runtime.database.systemSql`select head::float8 as head from sync_rooms where key = ${docId}`)[0]
    ?.head ?? 0

test.concurrent('K4 T-6 a named connection is told before its token ends, renews in place and outlives the first token', async () => {
  const { t, userId, url, grant, headers } = await world()
  const claims = {
    room: 'renewed',
    access: 'write' as const,
    userId,
    grantedBy: 'backend' as const,
    sessionId: undefined,
    organizationId: undefined,
    permissionVersion: 'none',
  }
  const short = async () => (await signSyncToken(t.ctx().instance, claims, new Date(), 4)).token
  using live = named(url('renewed'), { headers, token: await short() })
  using silent = named(url('renewed'), { headers, token: await short() })
  const start = performance.now()
  await Promise.all([live.opened, silent.opened])
  live.socket.send(step1)
  silent.socket.send(step1)
  const { inMs } = await live.heard('expiring')
  expect(inMs).toBeGreaterThanOrEqual(0)
  expect(inMs).toBeLessThanOrEqual(2500)
  live.say({ t: 'auth', token: await grant('renewed', 'write', 60) })
  const { expiresAt, access } = await live.heard('authed')
  expect(access).toBe('write')
  expect(expiresAt).toBeGreaterThan(Date.now() + 50_000)
  expect((await silent.closed).code).toBe(4001)
  // Its end, and the five seconds in which an answer may be under way; at least those, at most a slot of the wheel more.
  expect(performance.now() - start).toBeGreaterThan(7500)
  expect(performance.now() - start).toBeLessThan(12_000)
  expect(live.closing).toBeUndefined()
  live.socket.send(letter(1))
  await until(() => live.frames.some((f) => f[0] === 0 && f[1] === 2), 'acknowledged')
}, 60_000)

test.concurrent('K5 T-4 T-5 sockets that never authenticate end after five seconds, whatever they say, and only so many wait', async () => {
  const { t, url, headers } = await world()
  await Bun.sleep(500)
  const start = performance.now()
  const before = process.memoryUsage().rss
  const sockets = Array.from({ length: 30 }, (_, i) => named(url(`k5-${i}`), { headers }))
  const opened = await Promise.allSettled(sockets.map((socket) => socket.opened))
  const open = sockets.filter((_, i) => opened[i]?.status === 'fulfilled')
  expect(open.length).toBe(20)
  const [patient, ...talkers] = open
  for (const talker of talkers) talker.socket.send(new Uint8Array(1024 * 1024))
  for (const talker of talkers) expect((await talker.closed).code).toBe(1006)
  expect(process.memoryUsage().rss - before).toBeLessThan(300e6)
  expect((await patient?.closed)?.code).toBe(4001)
  expect(performance.now() - start).toBeGreaterThan(4500)
  expect(performance.now() - start).toBeLessThan(8000)
  const rows = await t.server.runtime.database.systemSql`select from sync_rooms where key like 'k5-%'`
  expect(rows.length).toBe(0)
}, 60_000)

test('T-7 T-8 a renewal with other rights counts at once; one of somebody else, for another document or a wrong one changes nothing', async () => {
  const { t, url, grant, headers } = await world()
  const docId = 'rights'
  using live = named(url(docId), { headers, token: await grant(docId) })
  await live.opened
  live.socket.send(step1)
  await until(() => live.frames.length > 0, 'greeted')
  const eve = await somebody(t)
  const wrong = [
    [await grant(docId, 'write', 60, eve), 'forbidden'],
    [await grant('another'), 'forbidden'],
    ['garbage', 'unauthenticated'],
    ['', 'malformed'],
    [7, 'malformed'],
    [await grant(docId, 'write', 60).then((token) => `${token.slice(0, -6)}AAAAAA`), 'unauthenticated'],
  ]
  for (const [i, [token, code]] of wrong.entries()) {
    live.say({ t: 'auth', id: i, token })
    expect(await live.heard('err')).toMatchObject({ id: i, code })
  }
  expect(live.closing).toBeUndefined()
  live.say({ t: 'auth', token: await grant(docId, 'read') })
  expect(await live.heard('authed')).toMatchObject({ access: 'read' })
  expect(await live.heard('role')).toMatchObject({ access: 'read' })
  live.socket.send(letter(2))
  await Bun.sleep(150)
  expect(await stored(t, docId)).toBe(0)
  live.say({ t: 'auth', token: await grant(docId, 'write') })
  expect(await live.heard('role')).toMatchObject({ access: 'write' })
  live.socket.send(letter(2))
  await until(() => live.frames.some((f) => f[0] === 0 && f[1] === 2), 'acknowledged')
  live.say({ t: 'ping' })
  await live.heard('pong')
  live.say({ t: 'of a later version' })
  live.say({ t: 'ping' })
  await live.heard('pong')
  live.socket.send('[1]')
  expect((await live.closed).code).toBe(4422)
}, 60_000)

test('T-9 one token at a time is looked at, and one that comes meanwhile changes nothing', async () => {
  const { url, grant, headers } = await world()
  const docId = 'one-at-a-time'
  using live = named(url(docId), { headers, token: await grant(docId) })
  await live.opened
  live.socket.send(step1)
  await until(() => live.frames.length > 0, 'greeted')
  const [read, write] = [await grant(docId, 'read'), await grant(docId, 'write')]
  live.say({ t: 'auth', id: 1, token: read })
  live.say({ t: 'auth', id: 2, token: write })
  expect(await live.heard('err')).toMatchObject({ id: 2, code: 'rate_limited', retryAfterMs: 1000 })
  expect(await live.heard('authed')).toMatchObject({ access: 'read' })
  live.say({ t: 'auth', token: write })
  expect(await live.heard('authed')).toMatchObject({ access: 'write' })
}, 60_000)

test('K4 T-7 after a renewal the connection ends with the session of the new token', async () => {
  const { t, userId, url, grant, headers } = await world()
  const docId = 'banned'
  using live = named(url(docId), { headers, token: await grant(docId) })
  await live.opened
  live.socket.send(step1)
  live.say({ t: 'auth', token: await grant(docId) })
  await live.heard('authed')
  const response = await t.fetch(`/v1/users/${userId}/ban`, { method: 'POST', secretKey: true })
  expect(response.status).toBe(200)
  const start = performance.now()
  expect((await live.closed).code).toBe(4401)
  expect(performance.now() - start).toBeLessThan(1000)
})

test('T-4 a token by first message opens the document; before it nothing else is handled', async () => {
  const { t, url, grant, headers } = await world()
  using late = named(url('first'), { headers })
  await late.opened
  late.say({ t: 'auth', token: await grant('first') })
  expect(await late.heard('authed')).toMatchObject({ access: 'write' })
  late.socket.send(step1)
  late.socket.send(letter(3))
  await until(() => late.frames.some((f) => f[0] === 0 && f[1] === 2), 'acknowledged')
  const refused: [string, (socket: ReturnType<typeof named>) => unknown, number][] = [
    ['an update', (s) => s.socket.send(letter(9)), 4001],
    ['a subscription', (s) => s.say({ t: 'sub', id: 1, ch: 'x' }), 4001],
    ['a wrong token', (s) => s.say({ t: 'auth', token: 'wrong' }), 4001],
    ['a token for another document', async (s) => s.say({ t: 'auth', token: await grant('elsewhere') }), 4403],
    ['no JSON', (s) => s.socket.send('{'), 4422],
    ['too much', (s) => s.socket.send('x'.repeat(17 * 1024)), 1006],
    [
      'an update behind the token',
      async (s) => {
        s.say({ t: 'auth', token: await grant('never') })
        s.socket.send(letter(9))
      },
      4422,
    ],
  ]
  for (const [what, say, code] of refused) {
    using socket = named(url('never'), { headers })
    await socket.opened
    await say(socket)
    expect({ what, code: (await socket.closed).code }).toEqual({ what, code })
    expect(socket.frames).toEqual([])
  }
  expect(await stored(t, 'never')).toBe(0)
  // A stock client cannot: it is told at once, as before.
  expect((await raw(url('never'), { headers: { ...headers, origin: 'http://localhost:1' } }).closed).code).toBe(4001)
}, 60_000)
