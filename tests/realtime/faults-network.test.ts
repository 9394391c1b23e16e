import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { connect as dial, type Socket } from 'node:net'
import { mutate } from '../fuzz/hostile-updates.ts'
import { pick, type Random, randomFrom } from '../fuzz/random.ts'
import { realUpdates } from '../fuzz/real-updates.ts'
import { startProxy } from '../support/proxy.ts'
import { established } from '../support/tcp.ts'
import { emptyStep1, updateMessage, upgradeRequest, varUint, webSocketFrame } from './frames.ts'
import { connect, generous, raw, type SyncServerProcess, startSyncServer, stateOf, until, Y } from './support.ts'

const long = Boolean(process.env.USHER_LONG_TESTS)
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
console.log(`seed ${seed}`)

let server: SyncServerProcess
beforeAll(async () => {
  server = await startSyncServer({ env: generous })
})
afterAll(() => server[Symbol.asyncDispose]())

const port = () => Number(new URL(server.wsUrl).port)
const rss = () => Number(readFileSync(`/proc/${server.process.pid}/statm`, 'utf8').split(' ')[1]) * 4096

/** A socket in the room that reads only while it is told to. */
async function rawTcp(path: string): Promise<{ socket: Socket; closed: () => boolean; received: () => number }> {
  const socket = dial({ port: port(), host: '127.0.0.1' })
  let closed = false
  let received = 0
  socket.on('error', () => {})
  socket.on('close', () => {
    closed = true
  })
  socket.on('data', (chunk) => {
    received += chunk.length
  })
  socket.write(upgradeRequest(`/sync/${path}`))
  await until(() => received > 0 || closed, 'answered')
  return { socket, closed: () => closed, received: () => received }
}

// Item 2

test('a half-open connection does not disturb the new one of the same person, nor does its late end', async () => {
  await using proxy = await startProxy(port())
  using bob = connect(server.wsUrl, 'half-open')
  await bob.synced()
  using before = connect(`ws://127.0.0.1:${proxy.port}/sync`, 'half-open')
  await before.synced()
  before.client.awareness.setLocalState({ name: 'Ada' })
  await until(() => bob.client.awareness.getStates().has(before.doc.clientID), 'seen')
  proxy.freeze()
  // The network is back under another address; the server still holds the old connection.
  using now = connect(server.wsUrl, 'half-open', { doc: before.doc })
  await now.synced()
  now.client.awareness.setLocalState({ name: 'Ada, again' })
  now.doc.getText('t').insert(0, 'typed on the new connection')
  await until(() => bob.doc.getText('t').length > 0, 'received')
  proxy.cut()
  const name = () => (bob.client.awareness.getStates().get(now.doc.clientID) as { name?: string } | undefined)?.name
  await until(() => name() === 'Ada, again', 'seen under its new connection', 20_000)
  now.doc.getText('t').insert(0, 'still ')
  await until(() => bob.doc.getText('t').toString().startsWith('still'), 'received')
  expect(now.closes).toEqual([])
}, 60_000)

// A minute of waiting: only where the long tests run, and no test that is skipped elsewhere.
const longTest = long ? test : () => {}
longTest(
  'a peer that vanished is gone from the room within a minute',
  async () => {
    await using proxy = await startProxy(port())
    using bob = connect(server.wsUrl, 'vanished')
    await bob.synced()
    using ada = connect(`ws://127.0.0.1:${proxy.port}/sync`, 'vanished')
    await ada.synced()
    ada.client.awareness.setLocalState({ name: 'Ada' })
    await until(() => bob.client.awareness.getStates().has(ada.doc.clientID), 'seen')
    ada.client.shouldConnect = false
    const before = established(port())
    proxy.freeze()
    const startedAt = performance.now()
    await until(() => !bob.client.awareness.getStates().has(ada.doc.clientID), 'gone from the room', 62_000)
    // The proxy reads no more, so only the server's side tells.
    const left = Math.max(1000, 75_000 - (performance.now() - startedAt))
    await until(() => established(port()) < before, 'cut by the server', left)
  },
  120_000,
)

test('R-12 whoever asks late for the document learns who came and who left meanwhile', async () => {
  using bob = connect(server.wsUrl, 'late')
  await bob.synced()
  using ada = connect(server.wsUrl, 'late')
  await ada.synced()
  bob.client.awareness.setLocalState({ name: 'Bob' })
  ada.client.awareness.setLocalState({ name: 'Ada' })
  await until(() => bob.client.awareness.getStates().get(ada.doc.clientID)?.name === 'Ada', 'seen')
  const slow = raw(`${server.wsUrl}/late`)
  await slow.opened
  const said = () => slow.frames.filter(([type]) => type === 1).map((frame) => Buffer.from(frame).toString('latin1'))
  await until(() => said().length === 1, 'told who is there')
  // It is not on the topic yet: it has not asked for the document.
  ada[Symbol.dispose]()
  using eve = connect(server.wsUrl, 'late')
  await eve.synced()
  eve.client.awareness.setLocalState({ name: 'Eve' })
  await until(() => bob.client.awareness.getStates().get(eve.doc.clientID)?.name === 'Eve', 'seen')
  expect(said()).toHaveLength(1)
  slow.socket.send(emptyStep1)
  await until(() => said().length === 2, 'told again')
  const [before, after] = said()
  expect(before).toContain('Ada')
  expect(after).toContain('Eve')
  expect(after).toContain('Bob')
  expect(after).toContain('null')
  expect(after).not.toContain('Ada')
  slow.socket.close()
})

// Item 3

test('R-11 sockets that do not read cost a bounded amount, are cut off, and come back whole; the others notice nothing', async () => {
  const slowOnes = long ? 100 : 10
  const megabytes = long ? 30 : 16
  using ada = connect(server.wsUrl, 'slow')
  using bob = connect(server.wsUrl, 'slow')
  await Promise.all([ada.synced(), bob.synced()])
  const slow = await Promise.all(Array.from({ length: slowOnes }, () => rawTcp('slow')))
  for (const { socket } of slow) socket.write(webSocketFrame(emptyStep1))
  await Bun.sleep(200)
  for (const { socket } of slow) socket.pause()
  const before = rss()
  const worst = { growth: 0, ms: 0 }
  const map = ada.doc.getMap<string>('m')
  const seen = bob.doc.getMap<string>('m')
  for (let i = 0; i < megabytes * 5; i++) {
    const startedAt = performance.now()
    map.set(`k${i}`, `${i}-`.padEnd(200_000, 'x'))
    await until(() => seen.has(`k${i}`), 'received', 10_000)
    worst.ms = Math.max(worst.ms, performance.now() - startedAt)
    worst.growth = Math.max(worst.growth, rss() - before)
  }
  // A paused socket of Node does not hear of its end before it reads.
  for (const { socket } of slow) socket.resume()
  await until(() => slow.every(({ closed }) => closed()), 'cut off', 40_000)
  // 4 MB each, and what the document itself and its way through the database take.
  expect(worst.growth).toBeLessThan(slowOnes * 5e6 + megabytes * 12e6 + 60e6)
  expect(worst.ms).toBeLessThan(3000)
  expect([...ada.closes, ...bob.closes]).toEqual([])
  using again = connect(server.wsUrl, 'slow')
  await again.synced()
  expect(stateOf(again.doc)).toBe(stateOf(ada.doc))
  for (const { socket } of slow) socket.destroy()
}, 180_000)

// Item 5

test('updates that come twice, out of order, and through several tabs make the same document', async () => {
  const random = randomFrom(seed)
  const rounds = long ? 200 : 12
  for (let round = 0; round < rounds; round++) {
    const { expected, updates } = plainEdits(random, 60)
    const docId = `disorder-${seed}-${round}`
    const tabs = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const tab = raw(`${server.wsUrl}/${docId}`)
        await tab.opened
        return tab.socket
      }),
    )
    const twice = [...updates, ...updates.filter(() => random(2) === 0), Y.mergeUpdates(updates)]
    for (let i = twice.length - 1; i > 0; i--) {
      const j = random(i + 1)
      ;[twice[i], twice[j]] = [twice[j] as Uint8Array, twice[i] as Uint8Array]
    }
    for (const update of twice) pick(random, tabs).send(updateMessage(update))
    using reader = connect(server.wsUrl, docId)
    await reader.synced()
    await until(() => contentOf(reader.doc) === contentOf(expected), `the same (seed ${seed}, round ${round})`)
    for (const tab of tabs) {
      expect({ round, state: tab.readyState }).toEqual({ round, state: WebSocket.OPEN })
      tab.close()
    }
  }
}, 300_000)

/** Edits whose outcome does not depend on their order; formats and halves of emoji do, in yjs itself. */
function plainEdits(random: Random, edits: number) {
  const updates: Uint8Array[] = []
  const docs = Array.from({ length: 3 }, () => {
    const doc = new Y.Doc()
    doc.on('update', (update: Uint8Array) => updates.push(update))
    return doc
  })
  for (let i = 0; i < edits; i++) {
    const doc = pick(random, docs)
    const text = doc.getText('t')
    const array = doc.getArray('a')
    if (random(3)) text.insert(random(text.length + 1), pick(random, ['a', 'bc', 'def', 'ghij']))
    else if (text.length > 2) text.delete(random(text.length - 2), 2)
    if (random(4) === 0) array.insert(random(array.length + 1), [i, { i }])
    if (random(4) === 0) doc.getMap('m').set(`k${random(5)}`, i)
    if (random(5) === 0) Y.applyUpdate(pick(random, docs), Y.encodeStateAsUpdate(doc))
  }
  const expected = new Y.Doc()
  for (const doc of docs) Y.applyUpdate(expected, Y.encodeStateAsUpdate(doc))
  return { expected, updates }
}

const contentOf = (doc: Y.Doc): string =>
  JSON.stringify([
    doc.getText('t').toString(),
    doc.getArray('a').toJSON(),
    Object.entries(doc.getMap('m').toJSON()).sort(),
    [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(),
  ])

// Item 6

const text = (bytes: number[]) => webSocketFrame(Uint8Array.from(bytes), { opcode: 1 })
const malformed: [string, Buffer][] = [
  ...[1, 2, 4].map((rsv): [string, Buffer] => [`reserved bit ${rsv}`, webSocketFrame(emptyStep1, { rsv })]),
  ['no mask', webSocketFrame(emptyStep1, { masked: false })],
  ...[3, 7, 11, 15].map((opcode): [string, Buffer] => [`opcode ${opcode}`, webSocketFrame(emptyStep1, { opcode })]),
  ['a gigabyte announced', webSocketFrame(emptyStep1, { length: 2 ** 30 })],
  ['2^53 bytes announced', webSocketFrame(emptyStep1, { length: 2 ** 53 })],
  ['a fragmented ping', webSocketFrame(emptyStep1, { opcode: 9, fin: false })],
  ['a ping of 126 bytes', webSocketFrame(new Uint8Array(126), { opcode: 9 })],
  ['a close of one byte', webSocketFrame(Uint8Array.from([3]), { opcode: 8 })],
  ['a continuation of nothing', webSocketFrame(emptyStep1, { opcode: 0 })],
  ['text that is not UTF-8', text([0xff, 0xfe, 0xc0])],
  ['text that is not UTF-8, in the middle of a character', text([0xe2, 0x82])],
]

test('frames that are no WebSocket frames end their own connection and nothing else', async () => {
  using ada = connect(server.wsUrl, 'malformed')
  using bob = connect(server.wsUrl, 'malformed')
  await Promise.all([ada.synced(), bob.synced()])
  const before = rss()
  for (let round = 0; round < (long ? 100 : 3); round++) {
    for (const [what, frame] of malformed) {
      const { socket, closed } = await rawTcp('malformed')
      socket.write(webSocketFrame(emptyStep1))
      socket.write(frame)
      try {
        await until(closed, 'closed', 5000)
      } catch {
        throw new Error(`${what} did not end its connection`)
      }
      socket.destroy()
    }
  }
  const garbage = randomFrom(seed)
  for (let i = 0; i < (long ? 2000 : 100); i++) {
    const { socket } = await rawTcp('malformed')
    socket.end(Buffer.from(Array.from({ length: 1 + garbage(300) }, () => garbage(256))))
    if (i % 20 === 19) await Bun.sleep(10)
    setTimeout(() => socket.destroy(), 500)
  }
  ada.doc.getText('t').insert(0, 'nobody noticed')
  await until(() => bob.doc.getText('t').toString() === 'nobody noticed', 'received')
  expect([...ada.closes, ...bob.closes]).toEqual([])
  expect(server.process.exitCode).toBeNull()
  expect(rss() - before).toBeLessThan(80e6)
}, 180_000)

test('every truncation and many mutations of valid messages are refused or harmless', async () => {
  const random = randomFrom(seed)
  using ada = connect(server.wsUrl, 'truncated')
  await ada.synced()
  ada.doc.getText('t').insert(0, 'safe')
  const { docs, updates } = realUpdates(random, 25)
  const state = updateMessage(Y.encodeStateAsUpdate(docs[0] as Y.Doc)).slice(0, 400)
  const presence = Uint8Array.from([1, 13, 1, 9, 1, 9, ...Buffer.from('{"a":[1]}')])
  const vector = Uint8Array.from([0, 0, 5, 2, 1, 7, 3, 4])
  const messages: Uint8Array[] = []
  for (const whole of [state, presence, vector])
    for (let length = 0; length < whole.length; length++) messages.push(whole.subarray(0, length))
  for (let i = 0; i < (long ? 20_000 : 500); i++)
    messages.push(mutate(random, pick(random, [presence, vector, updateMessage(pick(random, updates))]), state))
  messages.push(
    Uint8Array.from([1, 6, 1, 1, 1, 2, 0x7b, 0x22]),
    Uint8Array.from([0, 2, ...varUint(2 ** 53 - 1), 1]),
    awareness('{"__proto__":{"isAdmin":true}}'),
    awareness(`"${'x'.repeat(1_000_000)}"`),
    awareness('['.repeat(50_000)),
  )
  const before = rss()
  // Each goes to a socket of its own, in a room of its own: what it is answered must not depend on what came before.
  for (let at = 0; at < messages.length; at += 50) {
    const sockets = messages.slice(at, at + 50).map(async (message, i) => {
      const { socket, opened } = raw(`${server.wsUrl}/truncated-${(at + i) % 7}`)
      await opened
      socket.send(message as Uint8Array<ArrayBuffer>)
      await Bun.sleep(30)
      socket.close()
    })
    await Promise.all(sockets)
  }
  expect(server.process.exitCode).toBeNull()
  expect(rss() - before).toBeLessThan(120e6)
  for (let room = 0; room < 7; room++) {
    using reader = connect(server.wsUrl, `truncated-${room}`)
    await reader.synced()
  }
  using late = connect(server.wsUrl, 'truncated')
  await late.synced()
  expect(late.doc.getText('t').toString()).toBe('safe')
  expect(ada.closes).toEqual([])
}, 300_000)

function awareness(json: string): Uint8Array {
  const payload = [1, ...varUint(77), 1, ...varUint(json.length), ...Buffer.from(json)]
  return Uint8Array.from([1, ...varUint(payload.length), ...payload])
}
