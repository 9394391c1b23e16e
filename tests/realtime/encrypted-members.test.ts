import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ConnectOptions, type Crdt, indexedDbStorage } from '@usher/sync'
import 'fake-indexeddb/auto'
import * as encoding from 'lib0/encoding'
import { logClient } from './log-client.ts'
import { startLogServer } from './log-server.ts'
import { until, Y } from './support.ts'

/** What members of an encrypted document send each other, which no server can look at for them. */
let server: ReturnType<typeof startLogServer>
beforeAll(() => {
  server = startLogServer()
})
afterAll(() => server.stop())

let rooms = 0
const newRoom = () => `members-${rooms++}`

const client = (docId: string, options?: Partial<ConnectOptions>) => logClient(server.url, docId, options)

/** A member who has the key and sends whatever they like. */
function liar(docId: string) {
  let send: (update: Uint8Array) => void = () => {}
  const crdt: Crdt = {
    contentType: 1,
    apply() {},
    encodeState: () => new Uint8Array(2),
    onUpdate(listener) {
      send = listener
      return () => {}
    },
  }
  const connection = client(docId, { doc: crdt })
  return Object.assign(connection, { say: (update: Uint8Array) => send(update) })
}

const encode = (...numbers: number[]) =>
  encoding.encode((encoder) => {
    for (const number of numbers) encoding.writeVarUint(encoder, number)
  })

test('R-6 what a member sends to break the others is skipped by them, and told', async () => {
  const room = newRoom()
  using mallory = liar(room)
  using ada = client(room)
  await Promise.all([mallory.whenSynced(), ada.whenSynced()])
  ada.text.insert(0, 'whole')
  await ada.whenSaved()
  const before = Y.encodeStateAsUpdate(ada.doc)
  const nested = new Uint8Array(30_000).fill(117)
  for (let i = 1; i < nested.length; i += 2) nested[i] = 1
  const hostile = [
    // All clocks of Ada's own id at once: what she writes next would have no place.
    encode(1, 1, ada.doc.clientID, 5, 0, 2 ** 52, 0),
    // A value so deep that whoever encodes it again runs out of stack.
    Buffer.concat([encode(1, 1, 77, 0, 8), encode(1), encode(1, 116), encode(1), nested]),
    // More elements than bytes, deletions that overlap, and a change that goes on behind its end.
    encode(2 ** 40, 1),
    encode(0, 1, ada.doc.clientID, 2, 3, 1, 0, 1),
    Buffer.concat([before, Buffer.from([0])]),
  ]
  for (const [i, update] of hostile.entries()) {
    mallory.say(new Uint8Array(update))
    await until(() => ada.problems.length === i + 1, 'told')
    expect(ada.problems[i]).toMatchObject({ code: 'unreadable', cause: { name: 'MalformedUpdate' } })
  }
  expect(Y.encodeStateAsUpdate(ada.doc)).toEqual(before)
  using bob = client(room)
  await bob.whenSynced()
  expect(bob.problems).toHaveLength(hostile.length)
  ada.text.insert(5, ' still')
  await until(() => bob.text.toString() === 'whole still', 'received')
})

test('E-8 what is larger than an envelope is sent in parts, also what waited for the network', async () => {
  const room = newRoom()
  using ada = client(room, { autoConnect: false })
  const long = 'a long document, pasted at once. '.repeat(40_000)
  ada.text.insert(0, long)
  ada.doc.getMap('m').set('small', 1)
  ada.connect()
  await Promise.all([ada.whenSynced(), ada.whenSaved()])
  using bob = client(room)
  await bob.whenSynced()
  expect(bob.text.toString()).toBe(long)
  bob.text.insert(long.length, long)
  bob.text.delete(0, 5)
  await bob.whenSaved()
  await until(() => ada.text.toString() === (long + long).slice(5), 'received')
  expect(server.room(room).envelopes.length).toBe(5)
  expect(Math.max(...server.room(room).envelopes.map((envelope) => envelope.length))).toBeLessThanOrEqual(2 ** 20)
  expect([...ada.problems, ...bob.problems]).toEqual([])
  // Sealed while nobody said what the server takes, and too large for this one.
  const storage = indexedDbStorage({ database: room })
  const other = newRoom()
  {
    using carol = client(other, { storage, autoConnect: false })
    await carol.restored
    carol.text.insert(0, 'x'.repeat(1_040_000))
    await Bun.sleep(700)
  }
  using carol = client(other, { storage })
  await Promise.all([carol.whenSynced(), carol.whenSaved()])
  using dave = client(other)
  await dave.whenSynced()
  expect([dave.text.length, server.room(other).envelopes.length]).toEqual([1_040_000, 2])
  expect(carol.problems).toEqual([])
  // What cannot be cut is told.
  bob.doc.getMap('m').set('file', new Uint8Array(2 ** 20))
  await until(() => bob.problems.length > 0, 'told')
  expect(bob.problems).toMatchObject([{ code: 'too_large' }])
})

test('E-6 with padding sizes are those of many others, and whoever has none reads it all the same', async () => {
  const room = newRoom()
  using ada = client(room, { padding: true })
  using bob = client(room)
  await Promise.all([ada.whenSynced(), bob.whenSynced()])
  const lengths = new Set<number>()
  for (let i = 0; i < 20; i++) {
    ada.text.insert(0, 'x'.repeat(500 + i))
    await ada.whenSaved()
    lengths.add(server.room(room).envelopes.at(-1)?.length ?? 0)
  }
  expect(lengths.size).toBeLessThanOrEqual(2)
  await until(() => bob.text.length === ada.text.length, 'received')
  // As large as it may be: the server takes it with its padding.
  ada.text.insert(0, 'y'.repeat(2_000_000))
  await ada.whenSaved()
  await until(() => bob.text.length === ada.text.length, 'received')
  expect(ada.problems).toEqual([])
  // Where people are is no shorter than its padding, either.
  ada.awareness.setLocalStateField('user', { name: 'Ada' })
  await until(() => [...bob.awareness.getStates().values()].some(({ user }) => user?.name === 'Ada'), 'seen')
})
