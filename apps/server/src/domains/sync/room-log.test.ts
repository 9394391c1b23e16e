import { expect, test } from 'bun:test'
import { randomBase62 } from '../../kernel/ids.ts'
import { testServer } from '../../testing/server.ts'
import { Outboxes } from './outbox.ts'
import { PlaintextRoom } from './plaintext-room.ts'
import type { Entry, Room } from './room.ts'
import { RoomLog, type Segment } from './room-log.ts'
import { loadRoom } from './store.ts'

const update = (client: number, clock: number) => Uint8Array.of(1, 1, client, clock, 4, 1, 1, 116, 1, 97, 0)

/** A node's log and its copy of one room. What came is listed as `ours` and `theirs`, with its numbers. */
async function node(key: string) {
  const { runtime } = await testServer()
  const { database, log } = runtime
  const came: string[] = []
  const note = (what: string) => (_: Room, entries: Entry[]) => {
    for (const { seq } of entries) came.push(`${what} ${seq}`)
  }
  const gone: string[] = []
  const roomLog = new RoomLog({
    sql: database.systemSql,
    connect: database.connectSystem,
    log,
    lanes: 1,
    handlers: {
      committed: note('ours'),
      arrived: note('theirs'),
      looked: () => {},
      refused: () => {},
      rewound: (_, found) => {
        gone.push(found)
      },
      gone: (room, reason) => {
        gone.push(reason)
        roomLog.drop(room)
      },
    },
  })
  const room = new PlaintextRoom(
    'standalone',
    key,
    await loadRoom(database.systemSql, 'standalone', key),
    new Outboxes(() => {}),
    0,
  )
  let clock = 0
  const client = 1 + Math.floor(Math.random() * 120)
  const write = (n = 1) => {
    for (let i = 0; i < n; i++) {
      const bytes = update(client, clock++)
      const ranges = [{ client, from: clock - 1, to: clock }]
      const entry = {
        bytes,
        frame: bytes,
        ranges,
        author: undefined,
        at: 0,
        isDeferred: false,
        digest: undefined,
        seq: 0,
      }
      roomLog.append(room, entry)
    }
  }
  const seqs = () => room.tail.map(({ seq }) => seq)
  return { sql: database.systemSql, roomLog, room: room as unknown as Room, write, seqs, came, gone }
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

test('R-13 what another node wrote is read before what comes behind it', async () => {
  const key = `two-nodes-${randomBase62(8)}`
  const [a, b] = [await node(key), await node(key)]
  a.write(2)
  await a.roomLog.settle()
  b.write(1)
  await b.roomLog.settle()
  expect(b.came).toEqual(['theirs 1', 'theirs 2', 'ours 3'])
  expect(b.seqs()).toEqual([1, 2, 3])
  await a.roomLog.catchUp(a.room)
  expect(a.came).toEqual(['ours 1', 'ours 2', 'theirs 3'])
  expect(a.room.tail.map(({ bytes }) => [...bytes])).toEqual(b.room.tail.map(({ bytes }) => [...bytes]))
  await Promise.all([a, b].map(({ roomLog }) => roomLog.stop()))
})

test('R-13 two nodes that write one room at once have the same log, without gaps, whoever looks when', async () => {
  const key = `hot-${randomBase62(8)}`
  const nodes = [await node(key), await node(key), await node(key)]
  for (let round = 0; round < 40; round++) {
    for (const { write } of nodes) write(1 + Math.floor(Math.random() * 3))
    if (round % 3 === 0) void nodes[round % nodes.length]?.roomLog.catchUp(nodes[round % nodes.length]!.room)
    await Bun.sleep(Math.random() * 3)
  }
  await Promise.all(nodes.map(({ roomLog }) => roomLog.settle()))
  await Promise.all(nodes.map(({ roomLog, room }) => roomLog.catchUp(room)))
  const [first] = nodes
  const head = first!.room.head
  expect(head).toBeGreaterThan(120)
  for (const { room, seqs, roomLog } of nodes) {
    expect(seqs()).toEqual(upTo(head))
    expect(room.hasUncommitted).toBe(false)
    expect(room.tail.map(({ bytes }) => bytes[2])).toEqual(first!.room.tail.map(({ bytes }) => bytes[2]))
    expect(roomLog.pendingBytes).toBe(0)
    await roomLog.stop()
  }
})

test('R-13 a segment that is handed over is taken if it fits; otherwise the database is asked', async () => {
  const key = `doorbell-${randomBase62(8)}`
  const [a, b] = [await node(key), await node(key)]
  const segments: Segment[] = []
  a.roomLog.onAppended = (_, segment) => segments.push(segment)
  for (let i = 0; i < 3; i++) {
    a.write(2)
    await a.roomLog.settle()
  }
  const incarnation = a.room.incarnation as string
  // Not known yet which log this is, out of order, twice: never a gap, never the same one again.
  for (const i of [0, 2, 1, 2, 0]) await b.roomLog.adopt(b.room, incarnation, segments[i] as Segment)
  expect(b.seqs()).toEqual(upTo(6))
  a.write(1)
  await a.roomLog.settle()
  await b.sql`update sync_room_segments set payload = '' where room_id = ${a.room.id as number} and last_seq = 7`
  await b.roomLog.adopt(b.room, incarnation, segments[3] as Segment)
  expect(b.seqs()).toEqual(upTo(7))
  await Promise.all([a, b].map(({ roomLog }) => roomLog.stop()))
})

test('R-13 R-17 a room that was deleted, restored or written as another kind is noticed', async () => {
  for (const [change, reason] of [
    ['deleted_at = now()', 'room_deleted'],
    ['incarnation = gen_random_uuid()', 'another log'],
    [`kind = 'e2ee'`, 'wrong_protocol'],
  ] as const) {
    const a = await node(`gone-${randomBase62(8)}`)
    a.write(1)
    await a.roomLog.settle()
    await a.sql.unsafe(`update sync_rooms set ${change} where id = ${a.room.id}`)
    await a.roomLog.catchUp(a.room)
    expect(a.gone).toEqual([reason])
    await a.roomLog.stop()
  }
})

test('R-19 a log that went back is noticed by an append and by a look, and nothing is acknowledged', async () => {
  const { sql, roomLog, room, write, came, gone } = await node(`rewound-${randomBase62(8)}`)
  write(3)
  await roomLog.settle()
  await sql`update sync_rooms set head = 1 where id = ${room.id}`
  await sql`delete from sync_room_segments where room_id = ${room.id}`
  write(1)
  await roomLog.settle()
  expect({ came, gone }).toEqual({ came: ['ours 1', 'ours 2', 'ours 3'], gone: ['less'] })
  const looking = await node(`rewound-${randomBase62(8)}`)
  looking.write(3)
  await looking.roomLog.settle()
  await sql`update sync_rooms set head = 1 where id = ${looking.room.id}`
  await looking.roomLog.catchUp(looking.room)
  expect(looking.gone).toEqual(['less'])
  const lost = await node(`rewound-${randomBase62(8)}`)
  lost.write(1)
  await lost.roomLog.settle()
  await sql`delete from sync_rooms where id = ${lost.room.id}`
  await lost.roomLog.catchUp(lost.room)
  expect(lost.gone).toEqual(['nothing'])
})
