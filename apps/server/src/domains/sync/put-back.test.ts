import { expect, test } from 'bun:test'
import type { SQL } from 'bun'
import { randomBase62 } from '../../kernel/ids.ts'
import { testServer } from '../../testing/server.ts'
import { Outboxes } from './outbox.ts'
import { PlaintextRoom } from './plaintext-room.ts'
import { putBack } from './put-back.ts'
import { encodeSegment } from './segment.ts'
import { appendSegments, createRoom, loadRoom, writeSnapshot } from './store.ts'

const update = (client: number, clock: number) => Uint8Array.of(1, 1, client, clock, 4, 1, 1, 116, 1, 97, 0)

async function writtenRoom() {
  const { runtime } = await testServer()
  const sql = runtime.database.systemSql
  const key = `put-back-${randomBase62(8)}`
  const { id, incarnation } = await createRoom(sql, 'standalone', key)
  const append = (...updates: Uint8Array[]) => {
    const entries = updates.map((bytes) => ({ bytes, at: 0 }))
    const segment = { roomId: id, incarnation, n: entries.length, expect: undefined, ...encodeSegment(entries) }
    return appendSegments(sql, [segment])
  }
  const open = async () =>
    new PlaintextRoom('standalone', key, await loadRoom(sql, 'standalone', key), new Outboxes(() => {}), 0)
  return { sql, id, append, open, stored: async () => clocksOf(await open()) }
}

const clocksOf = ({ tail, snapshot }: PlaintextRoom) => ({
  folded: snapshot !== undefined,
  entries: tail.map(({ bytes }) => `${bytes[2]}:${bytes[3]}`),
})

/** What a replica lacks that never got the end. */
async function loseBehind(sql: SQL, id: number, seq: number) {
  await sql`delete from sync_room_segments where room_id = ${id} and last_seq > ${seq}`
  await sql`delete from sync_room_snapshots where room_id = ${id} and seq > ${seq}`
  await sql`update sync_rooms set head = ${seq}, snapshot_seq = 0 where id = ${id}`
}

test('R-19 what the database has lost is put back once, however often it is asked for', async () => {
  const { sql, id, append, open, stored } = await writtenRoom()
  await append(update(1, 0), update(1, 1))
  await append(update(1, 2), update(1, 3))
  const room = await open()
  await loseBehind(sql, id, 2)
  expect(await putBack(sql, room)).toBe(2)
  expect(await putBack(sql, room)).toBe(0)
  expect((await stored()).entries).toEqual(['1:0', '1:1', '1:2', '1:3'])
})

test('R-19 numbers that were given out anew meanwhile hide nothing of what is lost', async () => {
  const { sql, id, append, open, stored } = await writtenRoom()
  await append(update(1, 0))
  await append(update(1, 1), update(1, 2))
  const room = await open()
  await loseBehind(sql, id, 1)
  // A node that noticed earlier, and did not have the document open.
  await append(update(2, 0))
  await append(update(2, 1), update(2, 2))
  expect(await putBack(sql, room)).toBe(2)
  expect((await stored()).entries).toEqual(['1:0', '2:0', '2:1', '2:2', '1:1', '1:2'])
  expect(await putBack(sql, room)).toBe(0)
})

test('R-19 a snapshot that is lost is put back as an update, also under a head that is higher by now', async () => {
  const { sql, id, append, open, stored } = await writtenRoom()
  await append(update(1, 0))
  await append(update(1, 1))
  expect(await writeSnapshot(sql, id, 2, Uint8Array.of(1, 1, 1, 0, 4, 1, 1, 116, 2, 97, 97, 0))).toBe(true)
  await append(update(1, 2))
  const room = await open()
  expect([room.snapshotSeq, room.tail.length]).toEqual([2, 1])
  // The replica still has what the snapshot folded, as far as it came.
  await loseBehind(sql, id, 0)
  await append(update(1, 0))
  await append(update(2, 0), update(2, 1), update(2, 2))
  expect(await putBack(sql, room)).toBe(2)
  expect((await stored()).entries).toEqual(['1:0', '2:0', '2:1', '2:2', '1:0', '1:2'])
  expect(await putBack(sql, room)).toBe(0)
})

test('R-19 a document that another node has made anew gets what was in the one before', async () => {
  const { sql, id, append, open, stored } = await writtenRoom()
  await append(update(1, 0), update(1, 1))
  const room = await open()
  await loseBehind(sql, id, 0)
  await sql`update sync_rooms set incarnation = gen_random_uuid() where id = ${id}`
  const other = await open()
  expect(other.incarnation).not.toBe(room.incarnation as string)
  expect(await append(update(2, 0))).toEqual(new Map())
  expect(await putBack(sql, room)).toBe(2)
  expect(await putBack(sql, room)).toBe(0)
  expect((await stored()).entries).toEqual(['1:0', '1:1'])
})
