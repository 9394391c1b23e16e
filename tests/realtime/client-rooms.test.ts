import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  type Awareness,
  type ConnectOptions,
  type Crdt,
  connect,
  encryptedWebSocket,
  fixedDocumentKey,
  passphraseKeys,
  type SyncProblem,
} from '@usher/sync'
import { LoroDoc } from 'loro-crdt'
import { WebsocketProvider } from 'y-websocket'
import { temporaryDirectory } from '../support/usher.ts'
import { generous, type SyncServerProcess, startSyncServer, connect as stockClient, until, Y } from './support.ts'

/** The client of encrypted documents and the real server. */
const data = temporaryDirectory()
let server: SyncServerProcess
beforeAll(async () => {
  server = await startSyncServer({ env: generous, data: data.path })
}, 60_000)
afterAll(async () => {
  await server?.stop()
  data[Symbol.dispose]()
})

let rooms = 0
const newRoom = () => `room-${rooms++}`
const secret = new Uint8Array(32).fill(7)

function client(docId: string, options: Partial<ConnectOptions> = {}) {
  const connection = connect({
    url: server.wsUrl,
    docId,
    key: fixedDocumentKey(secret),
    backoff: { minMs: 20, maxMs: 200 },
    ...options,
  })
  const problems: SyncProblem[] = []
  connection.on('problem', (problem) => problems.push(problem))
  const text = connection.doc.getText('t')
  return Object.assign(connection, { problems, text, [Symbol.dispose]: connection.destroy })
}
const names = ({ awareness }: { awareness: Awareness }) =>
  [...awareness.getStates().values()]
    .flatMap(({ user }) => (user ? [user.name as string] : []))
    .sort()
    .join()

test('an encrypted document is shared, survives a restart, and is seen by nobody without its key', async () => {
  const room = newRoom()
  {
    using ada = client(room)
    using bob = client(room)
    await Promise.all([ada.whenSynced(), bob.whenSynced()])
    ada.awareness.setLocalStateField('user', { name: 'Ada' })
    bob.awareness.setLocalStateField('user', { name: 'Bob' })
    ada.text.insert(0, 'a plain secret')
    await until(() => bob.text.toString() === 'a plain secret', 'received')
    for (const each of [ada, bob]) await until(() => names(each) === 'Ada,Bob', 'seen')
    bob.destroy()
    await until(() => names(ada) === 'Ada', 'gone')
    await ada.whenSaved()
    // It goes on after the server was away, with what was written meanwhile.
    const { port } = new URL(server.wsUrl)
    await server.stop()
    ada.text.insert(14, ', kept')
    server = await startSyncServer({ env: generous, data: data.path, args: ['--port', port] })
    await Promise.all([ada.whenSynced(), ada.whenSaved()])
    expect(ada.problems).toEqual([])
  }
  using late = client(room)
  await late.whenSynced()
  expect(late.text.toString()).toBe('a plain secret, kept')
  using wrong = client(room, { key: fixedDocumentKey(new Uint8Array(32).fill(8)) })
  await wrong.whenSynced()
  expect(wrong.problems.map(({ code }) => code)).toContain('unreadable')
  expect(wrong.text.toString()).toBe('')
}, 60_000)

test('a document is of one kind: who speaks the other protocol is refused', async () => {
  const room = newRoom()
  using ada = client(room)
  await ada.whenSynced()
  ada.text.insert(0, 'x')
  await ada.whenSaved()
  using plain = client(room, { key: undefined })
  await until(() => plain.state.status === 'stopped', 'stopped')
  expect(plain.state).toMatchObject({ reason: 'wrong_protocol', code: 4409 })
  using stock = stockClient(server.wsUrl, room)
  await stock.closed()
  expect(stock.closes[0]?.code).toBe(4409)
}, 60_000)

test('a long log is folded by its members, and who comes later begins there', async () => {
  const room = newRoom()
  using ada = client(room)
  using bob = client(room)
  await Promise.all([ada.whenSynced(), bob.whenSynced()])
  const changes = process.env.USHER_LONG_TESTS ? 5000 : 600
  for (let i = 0; i < changes; i++) {
    ada.text.insert(ada.text.length, `${i} `)
    // One envelope each, without waiting for each.
    void ada.whenSaved()
    if (i % 50 === 49) await ada.whenSaved()
  }
  await until(() => bob.text.toString() === ada.text.toString(), 'the same', 20_000)
  const begins = async () => {
    let from = -1
    const Spy = class extends WebSocket {
      constructor(url: string, protocols?: string[]) {
        super(url, protocols)
        this.addEventListener('message', ({ data }) => {
          const bytes = new Uint8Array(data)
          if (bytes[0] === 0x82 && from < 0) from = bytes[1] as number
          if (bytes[0] === 0x86) from = 0
        })
      }
    }
    using late = client(room, { WebSocket: Spy as never })
    await late.whenSynced()
    expect(late.text.toString()).toBe(ada.text.toString())
    expect(late.problems).toEqual([])
    return from
  }
  const deadline = Date.now() + 15_000
  while ((await begins()) !== 0 && Date.now() < deadline) {
    ada.text.insert(0, '.')
    await ada.whenSaved()
    await Bun.sleep(300)
  }
  expect(await begins()).toBe(0)
  expect(ada.problems.concat(bob.problems)).toEqual([])
}, 90_000)

test('of many who begin a document with a passphrase one is first, and all write under its key', async () => {
  const room = newRoom()
  const members = Array.from({ length: 4 }, () => {
    const member = client(room, { key: passphraseKeys('correct horse', { room, cost: 'pbkdf2' }) })
    member.text.insert(0, 'x')
    return member
  })
  await Promise.all(members.map((member) => member.whenSaved()))
  for (const member of members) await until(() => member.text.toString() === 'xxxx', 'the same')
  expect(members.flatMap(({ problems }) => problems)).toEqual([])
  for (const { destroy } of members) destroy()
}, 60_000)

test('any CRDT: Loro documents are merged by their members', async () => {
  /** A Loro document as this package takes it. */
  const loroCrdt = (doc: LoroDoc): Crdt => ({
    contentType: 2,
    apply: (update) => void doc.import(update),
    encodeState: () => doc.export({ mode: 'snapshot' }),
    onUpdate: (listener) => doc.subscribeLocalUpdates(listener),
    isEmpty: () => doc.opCount() === 0,
  })
  const room = newRoom()
  const [ours, theirs, later] = [new LoroDoc(), new LoroDoc(), new LoroDoc()]
  const write = (doc: LoroDoc, at: number, words: string) => {
    doc.getText('t').insert(at, words)
    doc.commit()
  }
  write(ours, 0, 'before ')
  using ada = client(room, { doc: loroCrdt(ours) })
  using bob = client(room, { doc: loroCrdt(theirs) })
  await Promise.all([ada.whenSynced(), bob.whenSynced()])
  await until(() => theirs.getText('t').toString() === 'before ', 'received')
  write(ours, 7, 'ada ')
  write(theirs, 7, 'bob ')
  await Promise.all([ada.whenSaved(), bob.whenSaved()])
  await until(() => theirs.getText('t').length === 15 && ours.getText('t').length === 15, 'merged')
  expect(theirs.getText('t').toString()).toBe(ours.getText('t').toString())
  using late = client(room, { doc: loroCrdt(later) })
  await late.whenSynced()
  expect(later.getText('t').toString()).toBe(ours.getText('t').toString())
  // Somebody with another kind of document sees that it is none of theirs.
  using yjs = client(room)
  await yjs.whenSynced()
  expect(yjs.problems[0]).toMatchObject({ code: 'unreadable' })
})

test('the unmodified y-websocket shares an encrypted document', async () => {
  const room = newRoom()
  const WebSocketPolyfill = encryptedWebSocket({ getKey: () => fixedDocumentKey(secret) })
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(server.wsUrl, room, doc, { disableBc: true, WebSocketPolyfill })
  using bob = client(room)
  await bob.whenSynced()
  await until(() => provider.synced, 'synced')
  doc.getText('t').insert(0, 'hidden')
  provider.awareness.setLocalStateField('user', { name: 'Ada' })
  await until(() => bob.text.toString() === 'hidden' && names(bob) === 'Ada', 'received')
  provider.destroy()
  await until(() => names(bob) === '', 'gone')
  doc.destroy()
})
