import { expect, test } from 'bun:test'
import { SQL } from 'bun'
import { postgresBin, startPostgres } from '../support/postgres.ts'
import { redisServer, startRedis } from '../support/redis.ts'
import { startUsher } from '../support/usher.ts'
import { connect, generous, longestPause, until, writer } from './support.ts'

const rounds = process.env.USHER_LONG_TESTS ? 40 : 2

const stillMs = 1500
/** What the database grants a transaction that says nothing; five seconds for the server's own. */
const idleMs = 2500

type Segment = { room: string; last: number; n: number; head: number }

/** Every number of a room's log was given once. What a snapshot contains may be gone from its beginning. */
async function checkSequence(sql: SQL): Promise<number> {
  const segments: Segment[] = await sql`
    select r.key as room, s.last_seq::float8 as last, s.n, r.head::float8 as head
    from sync_rooms r join sync_room_segments s on s.room_id = r.id order by r.key, s.last_seq`
  const heads = new Map<string, number>()
  for (const { room, last, n } of segments) {
    expect({ room, first: last - n + 1 }).toEqual({ room, first: (heads.get(room) ?? last - n) + 1 })
    heads.set(room, last)
  }
  for (const { room, head } of segments) expect({ room, head }).toEqual({ room, head: heads.get(room) as number })
  // Not the segments: how many updates share one is a matter of speed.
  return [...heads.values()].reduce((sum, head) => sum + head, 0)
}

test.skipIf(!postgresBin || !redisServer)(
  'R-N1: a node that stands still in mid-flush holds up no other, and numbers have no gap and no overlap',
  async () => {
    await using postgres = await startPostgres()
    await using redis = await startRedis()
    const env = { ...generous, DATABASE_URL: postgres.url, REDIS_URL: redis.url }
    const command = ['sync-server', 'start']
    const [first, second] = await Promise.all([startUsher({ command, env }), startUsher({ command, env })])
    await using one = first
    await using two = second
    const rooms = ['hot', 'warm']
    const here = rooms.flatMap((id) => [0, 1].map(() => writer(one.ready.url, id, 1)))
    const there = rooms.flatMap((id) => [0, 1].map(() => writer(two.ready.url, id, 1)))
    await until(() => [...here, ...there].every((w) => w.acknowledged.size > 20), 'acknowledged', 20_000)
    const pauses: number[] = []
    for (let round = 0; round < rounds; round++) {
      await Bun.sleep(Math.random() * 150)
      one.process.kill('SIGSTOP')
      const from = performance.now()
      await Bun.sleep(stillMs)
      const to = performance.now()
      one.process.kill('SIGCONT')
      for (const w of there) pauses.push(longestPause(w.acknowledgedAt, from, to))
    }
    const before = here.map((w) => w.acknowledged.size)
    await until(() => here.every((w, i) => w.acknowledged.size > (before[i] as number)), 'going on')
    for (const w of [...here, ...there]) await w.stop()
    console.log(`longest pause beside a node that stands still: ${Math.max(...pauses).toFixed(0)} ms`)
    // A lock that the still node held would be held for all of that time. A busy machine pauses too, but not as long.
    expect(Math.max(...pauses)).toBeLessThan(stillMs * 0.8)
    await using sql = new SQL({ url: postgres.url, max: 1 })
    expect(await checkSequence(sql)).toBeGreaterThan(50)
    for (const id of rooms) {
      using reader = connect(two.ready.url, id)
      await reader.synced()
      const all = [...here, ...there].filter((w) => w.client.roomname === id)
      const lost = () => {
        const kept = new Set(reader.log.toArray())
        return all.flatMap((w) => [...w.acknowledged].filter((mark) => !kept.has(mark)))
      }
      await until(() => lost().length === 0, `whole: ${id}`, 3000).catch(() => {})
      expect({ id, lost: lost().slice(0, 3) }).toEqual({ id, lost: [] })
    }
  },
  120_000,
)

test.skipIf(!postgresBin || !redisServer)(
  'R-N2: while somebody holds the lock of a room, only that room waits',
  async () => {
    await using postgres = await startPostgres()
    const env = { ...generous, DATABASE_URL: postgres.url }
    await using node = await startUsher({ command: ['sync-server', 'start'], env })
    const held = writer(node.ready.url, 'held')
    // With two lanes some of these share the one of the room that is held.
    const others = Array.from({ length: 6 }, (_, i) => writer(node.ready.url, `free-${i}`))
    await until(() => [held, ...others].every((w) => w.acknowledged.size > 5), 'acknowledged')
    // What a node does that stops in the middle of a snapshot.
    const stalled = new SQL({
      url: postgres.url,
      max: 1,
      connection: { idle_in_transaction_session_timeout: String(idleMs) } as never,
    })
    const from = performance.now()
    const held_ = stalled.begin(async (tx) => {
      await tx`select 1 from sync_rooms where key = 'held' for update`
      await Bun.sleep(idleMs + 2500)
      await tx`select 1`
    })
    const outcome = held_.then(
      () => 'committed',
      () => 'ended',
    )
    await Bun.sleep(idleMs + 1500)
    const to = performance.now()
    const [pause, otherPauses] = [
      longestPause(held.acknowledgedAt, from, to),
      others.map((w) => longestPause(w.acknowledgedAt, from, to)),
    ]
    expect(pause).toBeGreaterThan(idleMs - 500)
    expect(pause).toBeLessThan(idleMs + 1500)
    // They wait once for the lock, with the room that is held; to its end when lanes do not set it aside.
    console.log(`beside a room that is held: ${otherPauses.map((ms) => ms.toFixed(0)).join(', ')} ms`)
    expect(Math.max(...otherPauses)).toBeLessThan(idleMs - 500)
    for (const w of [held, ...others]) await w.stop()
    expect(await outcome).toBe('ended')
    await stalled.close({ timeout: 0 })
    await using sql = new SQL({ url: postgres.url, max: 1 })
    await checkSequence(sql)
  },
  120_000,
)
