import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type ConnectOptions, type Crdt, connect, fixedDocumentKey, type SyncProblem } from '@usher/sync'
import * as encoding from 'lib0/encoding'
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

function client(docId: string, options: Partial<ConnectOptions> = {}) {
  const connection = connect({
    url: server.url,
    docId,
    key: fixedDocumentKey(new Uint8Array(32).fill(7)),
    backoff: { minMs: 20, maxMs: 200 },
    ...options,
  })
  const problems: SyncProblem[] = []
  connection.on('problem', (problem) => problems.push(problem))
  return Object.assign(connection, {
    problems,
    text: connection.doc.getText('t'),
    [Symbol.dispose]: connection.destroy,
  })
}

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
