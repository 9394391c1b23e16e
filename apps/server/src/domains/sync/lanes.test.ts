import { expect, test } from 'bun:test'
import type { SQL } from 'bun'
import type { Log } from '../../kernel/log.ts'
import { type Batch, Lanes } from './lanes.ts'
import { type Entry, Room } from './room.ts'
import type { StoredEntry } from './store.ts'

class TestRoom extends Room {
  readonly kind = 'yjs'
  get bytes() {
    return this.tailBytes
  }
  protected entryOf(stored: StoredEntry): Entry {
    return { ...stored, author: undefined }
  }
  protected settled() {}
}

function testRoom(key: string): Room {
  const stored = { id: 1, incarnation: 'i', snapshotSeq: 0, damaged: false, deleted: false }
  return new TestRoom('standalone', key, stored, 0)
}

const log = { warn: () => {} } as unknown as Log
const lockTimeout = Object.assign(new Error('lock_not_available'), { errno: '55P03' })

/** Lanes over a database that is a function: what it does with a batch, on which connection. */
function lanesOver(connections: number, store: (batch: Batch, connection: number) => Promise<void>) {
  const drivers = Array.from({ length: connections }, (_, i) => i as unknown as SQL)
  const flushed: string[][] = []
  const lanes = new Lanes(
    drivers,
    async (sql, batch) => {
      flushed.push(batch.map(({ room }) => room.key))
      await store(batch, sql as unknown as number)
      for (const { room, entries } of batch) room.commit(entries.length, room.head + entries.length)
    },
    log,
  )
  const write = (room: Room) => {
    room.append({ bytes: new Uint8Array(10), author: undefined, at: 0, seq: 0 })
    lanes.add(room)
  }
  return { lanes, flushed, write }
}

test('what is written while a flush is under way goes into the next one, of all rooms together', async () => {
  const { lanes, flushed, write } = lanesOver(4, () => Bun.sleep(10))
  const [a, b, c] = ['a', 'b', 'c'].map(testRoom) as [Room, Room, Room]
  write(a)
  write(a)
  await Bun.sleep(2)
  for (const room of [b, c, a, b]) write(room)
  await lanes.settle()
  expect(flushed).toEqual([['a'], ['b', 'c', 'a']])
  expect([a.head, b.head, c.head]).toEqual([3, 2, 1])
})

test('few writes are stored at once; of a steady stream of single ones several are stored together', async () => {
  const { lanes, flushed, write } = lanesOver(4, () => Promise.resolve())
  const [quiet, busy] = [testRoom('quiet'), testRoom('busy')]
  for (let i = 0; i < 20; i++) {
    write(quiet)
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  }
  expect(flushed).toHaveLength(20)
  const startedAt = performance.now()
  let written = 0
  for (; performance.now() - startedAt < 200; written++) {
    write(busy)
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  }
  await lanes.settle()
  expect(busy.head).toBe(written)
  // One in 4 ms, what was left to be made at once, and as many that had much to carry.
  expect(flushed.length - 20).toBeLessThan(2 * ((performance.now() - startedAt) / 4 + 30))
  expect(written).toBeGreaterThan(flushed.length)
})

test('R-N2 a flush that takes long does not hold up other rooms, and its own rooms wait for it', async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const { lanes, write } = lanesOver(2, (batch) => (batch[0]?.room.key === 'held' ? released : Promise.resolve()))
  const [held, other] = [testRoom('held'), testRoom('other')]
  write(held)
  await Bun.sleep(2)
  write(other)
  write(held)
  await Bun.sleep(200)
  expect([held.head, other.head]).toEqual([0, 1])
  release()
  await lanes.settle()
  expect([held.head, other.head]).toEqual([2, 1])
})

test('R-N2 of a flush that met a lock the other rooms go on, and the locked one later', async () => {
  let isLocked = true
  const { lanes, flushed, write } = lanesOver(2, async (batch) => {
    if (isLocked && batch.some(({ room }) => room.key === 'locked')) throw lockTimeout
  })
  const [locked, other] = [testRoom('locked'), testRoom('other')]
  write(locked)
  write(other)
  await Bun.sleep(200)
  expect([locked.head, other.head]).toEqual([0, 1])
  expect(flushed).toEqual([['locked', 'other'], ['locked'], ['other']])
  write(locked)
  await Bun.sleep(50)
  expect(flushed).toHaveLength(3)
  isLocked = false
  await lanes.settle()
  expect(locked.head).toBe(2)
})

test('a flush that failed is repeated, and not without a pause', async () => {
  let failures = 3
  const { lanes, flushed, write } = lanesOver(4, async () => {
    if (failures-- > 0) throw new Error('no connection')
  })
  const room = testRoom('a')
  const startedAt = performance.now()
  write(room)
  await lanes.settle()
  expect(room.head).toBe(1)
  expect(flushed).toHaveLength(4)
  // 25, 50 and 100 ms.
  expect(performance.now() - startedAt).toBeGreaterThan(170)
})

test('who gives up does not try again', async () => {
  const { lanes, flushed, write } = lanesOver(1, async () => {
    throw new Error('no connection')
  })
  write(testRoom('a'))
  await Bun.sleep(10)
  lanes.stop()
  await lanes.settle()
  const before = flushed.length
  await Bun.sleep(100)
  expect(flushed).toHaveLength(before)
})
