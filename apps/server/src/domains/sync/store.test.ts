import { expect, test } from 'bun:test'
import { DatabaseLine, readDatabaseLine } from '../../database/index.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { testServer } from '../../testing/server.ts'
import { encodeSegment } from './segment.ts'
import { appendSegments, createRoom, loadRoom, writeSnapshot } from './store.ts'

const instanceId = 'standalone'
const update = (n: number) => Uint8Array.of(0, 1, 1, 1, n, 1)

async function room() {
  const { runtime } = await testServer()
  const sql = runtime.database.systemSql
  const key = `test-${randomBase62(8)}`
  const { id } = await createRoom(sql, instanceId, key)
  const append = (...numbers: number[]) => {
    const segment = encodeSegment(numbers.map((n) => ({ bytes: update(n), at: 0 })))
    return appendSegments(sql, [{ roomId: id, n: numbers.length, ...segment }])
  }
  return { sql, key, id, append, load: () => loadRoom(sql, instanceId, key), connect: runtime.database.connectSystem }
}

test('a room gives back its updates in their order, and opening one creates nothing', async () => {
  const { sql, load, append } = await room()
  expect(await append(1, 2)).toEqual(new Map([[expect.any(Number), 2]]) as never)
  await append(3)
  const stored = await load()
  expect(stored.tail.map(({ seq, bytes }) => [seq, bytes[4]])).toEqual([
    [1, 1],
    [2, 2],
    [3, 3],
  ])
  expect(stored.damaged).toBe(false)
  const missing = await loadRoom(sql, instanceId, 'never-written')
  expect(missing.id).toBeUndefined()
  expect((await sql`select from sync_rooms where key = 'never-written'`).length).toBe(0)
})

test('writers at the same time leave neither gaps nor overlaps, in whatever order they name the rooms', async () => {
  const rooms = await Promise.all(Array.from({ length: 5 }, () => room()))
  const drivers = [1, 2, 3, 4].map(() => rooms[0]!.connect(1))
  await Promise.all(
    drivers.map(async (driver, d) => {
      for (let i = 0; i < 40; i++) {
        const shuffled = [...rooms].sort(() => Math.random() - 0.5)
        const heads = await appendSegments(
          driver,
          shuffled.map(({ id }) => ({
            roomId: id,
            n: 2,
            ...encodeSegment([0, 1].map(() => ({ bytes: update(d), at: 0 }))),
          })),
        )
        expect(heads.size).toBe(5)
      }
    }),
  )
  for (const { load } of rooms) {
    const stored = await load()
    expect(stored.damaged).toBe(false)
    expect(stored.tail.map(({ seq }) => seq)).toEqual(Array.from({ length: 320 }, (_, i) => i + 1))
  }
  await Promise.all(drivers.map((driver) => driver.close()))
}, 60_000)

test('a snapshot replaces what it contains, in chunks and compressed, and an older one does not replace it', async () => {
  const { sql, id, load, append } = await room()
  await append(1, 2, 3)
  const document = new Uint8Array(700_000).map((_, i) => (i * i) % 251)
  expect(await writeSnapshot(sql, id, 2, document)).toBe(true)
  const stored = await load()
  expect(Buffer.compare(stored.snapshot?.update ?? new Uint8Array(), document)).toBe(0)
  expect(stored.tail.map(({ seq }) => seq)).toEqual([3])
  expect(await writeSnapshot(sql, id, 1, document)).toBe(false)
  await append(4)
  expect(await writeSnapshot(sql, id, 4, document)).toBe(true)
  expect((await load()).tail).toEqual([])
  const [{ n }] = await sql`select count(*)::int as n from sync_room_snapshots where room_id = ${id}`
  expect(n).toBe(2)
})

test('R-16 a flipped bit or a missing segment is noticed; what precedes it is served, nothing behind it', async () => {
  const damages = [
    (sql: Bun.SQL, id: number) =>
      sql`update sync_room_segments set payload = set_byte(payload, 5, 99) where room_id = ${id} and last_seq = 2`,
    (sql: Bun.SQL, id: number) => sql`delete from sync_room_segments where room_id = ${id} and last_seq = 2`,
  ]
  for (const damage of damages) {
    const { sql, id, load, append } = await room()
    await append(1)
    await append(2)
    await append(3)
    await damage(sql, id)
    const stored = await load()
    expect(stored.damaged).toBe(true)
    expect(stored.tail.map(({ seq }) => seq)).toEqual([1])
  }
  const { sql, id, load, append } = await room()
  await append(1)
  await writeSnapshot(sql, id, 1, new Uint8Array(1000))
  await sql`update sync_room_snapshot_chunks set payload = set_byte(payload, 5, 99) where room_id = ${id}`
  expect((await load()).damaged).toBe(true)
})

test('R-19 what belongs to another log is not appended, and no snapshot reaches beyond the log', async () => {
  const { sql, key, id, append, load } = await room()
  await append(1, 2)
  const { incarnation } = await load()
  const segment = { roomId: id, n: 1, ...encodeSegment([{ bytes: update(3), at: 0 }]) }
  expect(await appendSegments(sql, [{ ...segment, incarnation: crypto.randomUUID() }])).toEqual(new Map())
  expect(await appendSegments(sql, [{ ...segment, incarnation }])).toEqual(new Map([[id, 3]]))
  const document = new Uint8Array(10)
  expect(await writeSnapshot(sql, id, 4, document, incarnation)).toBe(false)
  expect(await writeSnapshot(sql, id, 3, document, crypto.randomUUID())).toBe(false)
  expect(await writeSnapshot(sql, id, 3, document, incarnation)).toBe(true)
  expect((await load()).snapshotSeq).toBe(3)
  expect((await createRoom(sql, instanceId, key)).incarnation).toBe(incarnation as string)
})

test('R-19 the database says which history it is on', async () => {
  const { sql } = await room()
  const line = await readDatabaseLine(sql)
  expect(line).toMatch(/^\d+\/[0-9A-F]{8}$/)
  let changes = 0
  const watch = new DatabaseLine(sql, async () => {
    changes++
  })
  expect(await watch.look()).toBe(false)
  expect(await watch.look()).toBe(false)
  expect(changes).toBe(0)
})
