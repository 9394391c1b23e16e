import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SQL } from 'bun'
import { randomFrom } from '../fuzz/random.ts'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { startProxy } from '../support/proxy.ts'
import { temporaryDirectory } from '../support/usher.ts'
import { logOf, missing, writer } from './ledger.ts'
import { connect, generous, raw, type SyncServerProcess, startSyncServer, until, Y } from './support.ts'

const long = Boolean(process.env.USHER_LONG_TESTS)
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
console.log(`seed ${seed}`)

const data = temporaryDirectory()
const openSql = () =>
  new SQL({
    adapter: 'postgres',
    path: `${data.path}/run/.s.PGSQL.5432`,
    username: 'usher',
    database: 'postgres',
    max: 1,
  })
const start = () => startSyncServer({ data: data.path, env: generous })
let server: SyncServerProcess
beforeAll(async () => {
  server = await start()
})
afterAll(async () => {
  await server.stop()
  data[Symbol.dispose]()
})

/** Nothing is in its memory afterwards. */
async function restart() {
  await server.stop()
  server = await start()
}

/** The ids of a process and of those that it started. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return [pid, ...children.map(Number).flatMap(family)]
}

// Item 11

test('R-5 R-8 a database that stands still acknowledges nothing, stops nobody, and everything is stored once it goes on', async () => {
  const ada = writer(server.wsUrl, 'paused', 'ada')
  using _ = ada
  using bob = connect(server.wsUrl, 'paused')
  await Promise.all([ada.synced(), bob.synced()])
  ada.write()
  await until(() => ada.acknowledged.size === 1, 'acknowledged')
  const postmaster = Number(readFileSync(join(data.path, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
  const processes = family(postmaster)
  for (const pid of processes) process.kill(pid, 'SIGSTOP')
  try {
    for (let i = 0; i < 50; i++) ada.write()
    await until(() => logOf(bob.doc).size === 51, 'received before it is stored')
    // What the server says that it has is what is stored: an author who comes back sends the rest again.
    const newcomer = raw(`${server.wsUrl}/paused`)
    await until(() => newcomer.frames.length > 0, 'asked')
    const vector = Y.decodeStateVector((newcomer.frames[0] as Uint8Array).slice(3))
    expect([...vector]).toEqual([[ada.doc.clientID, 1]])
    newcomer.socket.close()
    await Bun.sleep(long ? 30_000 : 2500)
    expect(ada.acknowledged.size).toBe(1)
  } finally {
    for (const pid of processes) process.kill(pid, 'SIGCONT')
  }
  await until(() => ada.acknowledged.size === 51, 'acknowledged', 15_000)
  expect([...ada.closes, ...bob.closes]).toEqual([])
  expect(await missing(server.wsUrl, 'paused', ada.acknowledged)).toEqual([])
}, 90_000)

test('a database that can only be read, and a lock that somebody holds, delay acknowledgements and lose nothing', async () => {
  const sql = openSql()
  const ada = writer(server.wsUrl, 'read-only', 'ada')
  using _ = ada
  await ada.synced()
  ada.write()
  await until(() => ada.acknowledged.size === 1, 'acknowledged')
  const readOnly = async (on: boolean) => {
    await sql.unsafe(`alter system set default_transaction_read_only = ${on ? 'on' : 'off'}`)
    await sql`select pg_reload_conf()`
    await Bun.sleep(200)
  }
  await readOnly(true)
  for (let i = 0; i < 20; i++) ada.write()
  await Bun.sleep(500)
  expect(ada.acknowledged.size).toBe(1)
  await sql`set transaction_read_only = off`
  await readOnly(false)
  await until(() => ada.acknowledged.size === 21, 'acknowledged', 15_000)
  // A node that stalls in the midst of a flush holds the room's row.
  await sql.begin(async (tx) => {
    await tx`select 1 from sync_rooms where key = 'read-only' for update`
    for (let i = 0; i < 20; i++) ada.write()
    await Bun.sleep(long ? 10_000 : 2500)
    expect(ada.acknowledged.size).toBe(21)
  })
  await until(() => ada.acknowledged.size === 41, 'acknowledged', 15_000)
  expect(ada.closes).toEqual([])
  expect(await missing(server.wsUrl, 'read-only', ada.acknowledged)).toEqual([])
  const [numbers] = await sql`
    select r.head::int, coalesce(sum(s.n), 0)::int as stored
    from sync_rooms r join sync_room_segments s on s.room_id = r.id where r.key = 'read-only' group by r.head`
  expect(numbers.stored).toBe(numbers.head)
  await sql.close()
}, 90_000)

test.skipIf(!postgresBin)(
  'connections to the database that break in the midst of commits lose no acknowledged update',
  async () => {
    const random = randomFrom(seed)
    await using postgres = await startPostgres()
    const target = new URL(postgres.url)
    await using proxy = await startProxy(Number(target.port))
    using own = temporaryDirectory()
    const url = postgres.url.replace(target.port, String(proxy.port))
    const start = () => startSyncServer({ data: own.path, env: { ...generous, DATABASE_URL: url } })
    let server = await start()
    const docs = ['cut-1', 'cut-2']
    const writers = docs.flatMap((id) => [0, 1, 2].map((n) => ({ id, ...writer(server.wsUrl, id, `${id}-${n}`) })))
    for (const one of writers) await one.synced()
    for (let cut = 0; cut < (long ? 300 : 12); cut++) {
      const until = performance.now() + 30 + random(150)
      while (performance.now() < until) {
        for (const one of writers) one.write()
        await Bun.sleep(3)
      }
      proxy.cut()
    }
    await until(() => writers.every((one) => one.acknowledged.size === one.sent()), 'acknowledged', 30_000)
    for (const one of writers) one[Symbol.dispose]()
    await server.stop()
    server = await start()
    await using _ = server
    for (const id of docs) {
      const acknowledged = writers.flatMap((one) => (one.id === id ? [...one.acknowledged] : []))
      expect(await missing(server.wsUrl, id, acknowledged)).toEqual([])
    }
    // What was committed without our hearing of it is stored twice; numbers have neither gaps nor overlaps.
    const sql = new SQL(postgres.url, { max: 1 })
    const rooms = await sql`
    select r.key, r.head::int, r.snapshot_seq::int as snapshot,
      (select coalesce(sum(n), 0)::int from sync_room_segments s where s.room_id = r.id and s.last_seq > r.snapshot_seq) as stored
    from sync_rooms r`
    for (const { key, head, snapshot, stored } of rooms)
      expect({ key, stored }).toEqual({ key, stored: head - snapshot })
    await sql.close()
  },
  120_000,
)

// Item 12

test('R-16 what is damaged on disk is never served silently: nothing behind the damage, and writers are sent away', async () => {
  const damages: Record<string, (sql: SQL, room: number) => Promise<unknown>> = {
    'a flipped byte': (sql, room) => sql`
      update sync_room_segments set payload = set_byte(payload, length(payload) - 3, get_byte(payload, length(payload) - 3) # 1)
      where room_id = ${room} and last_seq = (select last_seq from sync_room_segments where room_id = ${room} order by last_seq offset 2 limit 1)`,
    'a missing segment': (sql, room) => sql`
      delete from sync_room_segments where room_id = ${room}
      and last_seq = (select last_seq from sync_room_segments where room_id = ${room} order by last_seq offset 2 limit 1)`,
    'two segments with the same number of updates changed places': async (sql, room) => {
      const [a, b] =
        await sql`select last_seq, payload, crc, n from sync_room_segments where room_id = ${room} order by last_seq offset 2 limit 2`
      await sql`update sync_room_segments set payload = ${b.payload}, crc = ${b.crc}, n = ${b.n} where room_id = ${room} and last_seq = ${a.last_seq}`
      await sql`update sync_room_segments set payload = ${a.payload}, crc = ${a.crc}, n = ${a.n} where room_id = ${room} and last_seq = ${b.last_seq}`
    },
  }
  const names = Object.keys(damages)
  for (let i = 0; i < names.length; i++) {
    const ada = writer(server.wsUrl, `damaged-${i}`, 'ada')
    await ada.synced()
    for (let n = 1; n <= 5; n++) {
      ada.write()
      await until(() => ada.acknowledged.size === n, 'acknowledged')
    }
    ada[Symbol.dispose]()
  }
  await restart()
  const sql = openSql()
  for (const [i, name] of names.entries()) {
    const [{ id }] = await sql`select id from sync_rooms where key = ${`damaged-${i}`}`
    await damages[name]?.(sql, Number(id))
    const socket = raw(`${server.wsUrl}/damaged-${i}`)
    await socket.opened
    socket.socket.send(Uint8Array.from([0, 0, 1, 0]))
    const outcome = await Promise.race([socket.closed, Bun.sleep(1000)])
    const received = Buffer.concat(socket.frames).toString('latin1')
    if (outcome) expect({ name, code: outcome.code }).toEqual({ name, code: 4503 })
    else {
      // Served: then every update must be there, in whatever order it lies.
      for (let n = 0; n < 5; n++)
        expect({ name, n, there: received.includes(`ada-${n};`) }).toEqual({ name, n, there: true })
      socket.socket.close()
    }
  }
  await sql.close()
}, 60_000)

test('R-16 a flipped byte in a snapshot is noticed: writers are sent away, and nothing is served in its place', async () => {
  const ada = writer(server.wsUrl, 'damaged-snapshot', 'ada')
  await ada.synced()
  ada.doc.getText('t').insert(0, 'a long line '.repeat(25_000))
  const sql = openSql()
  const folded = async () =>
    (
      await sql`select room_id as id from sync_room_snapshots s join sync_rooms r on r.id = s.room_id
      where r.key = 'damaged-snapshot' and state = 'live'`
    )[0]?.id
  for (const end = Date.now() + 10_000; (await folded()) === undefined; await Bun.sleep(50))
    if (Date.now() > end) throw new Error('it was not folded')
  ada[Symbol.dispose]()
  await restart()
  const id = await folded()
  await sql`
    update sync_room_snapshot_chunks set payload = set_byte(payload, length(payload) / 2, get_byte(payload, length(payload) / 2) # 1)
    where room_id = ${id}`
  const socket = raw(`${server.wsUrl}/damaged-snapshot`)
  await socket.opened
  socket.socket.send(Uint8Array.of(0, 0, 1, 0))
  expect((await socket.closed).code).toBe(4503)
  expect(socket.frames.some((frame) => frame[0] === 0)).toBe(false)
  await sql.close()
}, 60_000)

// Item 14

test('a hundred first opens load a room once, and what is said while it loads is kept', async () => {
  const ada = writer(server.wsUrl, 'crowd', 'before')
  await ada.synced()
  ada.write()
  await until(() => ada.acknowledged.size === 1, 'acknowledged')
  ada[Symbol.dispose]()
  await restart()
  const sql = openSql()
  const watch = openSql()
  let clients: ReturnType<typeof connect>[] = []
  await sql.begin(async (tx) => {
    await tx`lock table sync_room_segments in access exclusive mode`
    clients = Array.from({ length: 100 }, () => connect(server.wsUrl, 'crowd'))
    await until(() => clients.every(({ client }) => client.wsconnected), 'connected')
    for (const [i, { doc }] of clients.entries()) doc.getArray('log').push([`early-${i};`])
    await Bun.sleep(long ? 5000 : 1000)
    const waiting = await watch`
      select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%sync_room_segments%'`
    expect(waiting[0].n).toBe(1)
    expect(clients.filter(({ client }) => client.synced)).toEqual([])
  })
  await Promise.all(clients.map((client) => client.synced()))
  await until(() => clients.every(({ doc }) => logOf(doc).size === 101), 'all there', 15_000)
  expect(clients.flatMap(({ closes }) => closes)).toEqual([])
  for (const client of clients) client[Symbol.dispose]()
  await sql.close()
  await watch.close()
}, 60_000)
