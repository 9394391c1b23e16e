import { expect, test } from 'bun:test'
import {
  type Channel,
  type ChannelMessage,
  type ConnectOptions,
  connect,
  type DocumentKeys,
  fixedDocumentKey,
  passphraseKeys,
  type SyncProblem,
} from '@usher/sync'
import { createSyncTokenForBackend } from '../../apps/server/src/domains/sync/index.ts'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { channels } from './channels-support.ts'
import { documentKey } from './encrypted-support.ts'
import { somebody, type Text } from './named.ts'
import { startSyncServer, until, withHeaders } from './support.ts'

type Chat = { 'message.sent': { text: string } }

function open(options: Omit<ConnectOptions, 'backoff'>) {
  const sockets: WebSocket[] = []
  const Base = options.WebSocket ?? WebSocket
  class Kept extends (Base as typeof WebSocket) {
    constructor(url: string, protocols?: string[]) {
      super(url, protocols)
      sockets.push(this)
    }
  }
  const connection = connect({ ...options, WebSocket: Kept as never, backoff: { minMs: 20, maxMs: 100 } })
  const problems: SyncProblem[] = []
  connection.on('problem', (problem) => problems.push(problem))
  const said = (channel: Channel<Chat>) => {
    const messages: ChannelMessage<Chat>[] = []
    channel.on('message', (message) => messages.push(message))
    return { messages, texts: () => messages.map(({ data }) => data.text).join() }
  }
  return Object.assign(connection, {
    problems,
    said,
    /** The network goes away under the socket. */
    cut: () => (sockets.at(-1) as unknown as { terminate(): void }).terminate(),
    [Symbol.dispose]: connection.destroy,
  })
}

async function personIn(t: TestInstance, docId: string) {
  const userId = await somebody(t)
  const person = open({
    url: `${t.url.replace('http', 'ws')}/sync`,
    docId,
    key: fixedDocumentKey(documentKey),
    getToken: async () =>
      (await createSyncTokenForBackend(t.ctx({ type: 'backend' }), { docId, userId, access: 'write' })).token,
    WebSocket: withHeaders({ host: t.host }) as never,
  })
  return Object.assign(person, { userId })
}

const joined = (channel: Channel<Chat>) => until(() => channel.state.status === 'joined', 'joined')

test('C-6 members of an encrypted document talk beside it; the server passes on what it cannot read, and its word is no message', async () => {
  const t = await testInstance()
  const docId = 'projects/9:sealed'
  using ada = await personIn(t, docId)
  using bob = await personIn(t, docId)
  const backend = channels(t, t.secretKey)
  const ch = `doc:${docId}`
  expect(await backend.ask({ t: 'sub', ch, presence: true })).toMatchObject({ t: 'subbed' })

  // Before it is joined, and before the key is certain: it waits.
  const [as, bs] = [ada.channel<Chat>({ presence: { name: 'Ada' } }), bob.channel<Chat>({ presence: {} })]
  const [atAda, atBob] = [ada.said(as), bob.said(bs)]
  expect(await as.publish('message.sent', { text: 'hello' }, 'once')).toMatchObject({ offset: 1 })
  await joined(bs)
  await bs.publish('message.sent', { text: 'good day' })
  await until(() => atAda.texts() === 'hello,good day', 'heard')
  await until(() => bs.members.some(({ data }) => data.name === 'Ada'), 'seen')
  as.setPresence({ name: 'Ada', mood: 'fine' })
  await until(() => bs.members.some(({ data }) => data.mood === 'fine'), 'changed')

  // What the server has of it.
  const { messages } = (await backend.ask({ t: 'history', ch })) as unknown as {
    messages: { name: string; data: { sealed: string } }[]
  }
  expect(messages.map(({ name }) => name)).toEqual(['message.sent', 'message.sent'])
  for (const { data } of messages) expect(Object.keys(data)).toEqual(['sealed'])
  const everything = JSON.stringify([messages, backend.texts])
  for (const secret of ['hello', 'good day', 'Ada', 'fine']) expect(everything).not.toContain(secret)

  // It says something itself, repeats, gives another name to, or alters what somebody said: nobody hears any of it.
  const sealed = String(messages[0]?.data.sealed)
  const altered = `${sealed.slice(0, -6)}AAAAAA`
  const lies: Text[] = [
    { t: 'pub', ch, name: 'message.sent', data: { text: 'in clear' } },
    { t: 'pub', ch, name: 'message.sent', data: { sealed } },
    { t: 'pub', ch, name: 'message.deleted', data: { sealed } },
    { t: 'pub', ch, name: 'message.sent', data: { sealed: altered } },
    { t: 'pub', ch, name: 'message.sent', data: { sealed: 'no envelope!' } },
    { t: 'pub', ch, name: 'message.sent', data: null },
  ]
  for (const lie of lies) expect(await backend.ask(lie)).toMatchObject({ t: 'ack' })
  await bs.publish('message.sent', { text: 'still here' })
  await until(() => atAda.texts().endsWith('still here'), 'heard after all that')
  expect(atAda.texts()).toBe('hello,good day,still here')
  expect(atAda.messages.at(-1)).toMatchObject({ from: { user: bob.userId }, offset: 9 })
  expect(ada.problems.map(({ code }) => code)).toEqual(lies.map(() => 'unreadable'))

  // What was said while a connection was gone comes once and in order.
  ada.cut()
  await until(() => as.state.status === 'joining', 'gone')
  await bs.publish('message.sent', { text: 'meanwhile' })
  const late = as.publish('message.sent', { text: 'from offline' })
  await late
  await until(() => atBob.texts().endsWith('meanwhile,from offline'), 'heard by Bob')
  await until(() => atAda.texts().endsWith('still here,meanwhile,from offline'), 'heard by Ada')

  // Whoever reads on in what was said before: it opens again, and what never was a message is left out. A name that was
  // changed is told also here; a repetition is one that stands there twice.
  const kept = await bs.history()
  expect(kept.map(({ data }) => data.text).join()).toBe('hello,good day,still here,meanwhile,from offline')
  backend.socket.close()
}, 60_000)

test('C-6 with a passphrase the channel waits until the document’s key is certain; another passphrase hears nothing', async () => {
  await using server = await startSyncServer()
  const as = (passphrase: string) =>
    open({ url: server.wsUrl, docId: 'said', key: passphraseKeys(passphrase, { room: 'said', cost: 'light' }) })
  // Both begin the document: one key becomes everybody's, and nothing was said under the other one.
  using ada = as('correct horse battery staple')
  using bob = as('correct horse battery staple')
  const [a, b] = [ada.channel<Chat>(), bob.channel<Chat>()]
  const [atAda, atBob] = [ada.said(a), bob.said(b)]
  await Promise.all([joined(a), joined(b)])
  await a.publish('message.sent', { text: 'from Ada' })
  await b.publish('message.sent', { text: 'from Bob' })
  await until(() => [atAda, atBob].every(({ texts }) => texts() === 'from Ada,from Bob'), 'heard')
  using eve = as('incorrect horse battery staple')
  const e = eve.channel<Chat>()
  const atEve = eve.said(e)
  await until(() => eve.state.status === 'stopped', 'told that it is wrong')
  await a.publish('message.sent', { text: 'only for us' })
  await until(() => atBob.texts().endsWith('only for us'), 'heard')
  expect([e.state.status, atEve.texts()]).toEqual(['joining', ''])
}, 60_000)

test('C-6 a message under a later key waits for it, and what comes after waits too; without the key nothing opens', async () => {
  await using server = await startSyncServer()
  const later = documentKey.map((byte) => byte ^ 0xff)
  const held = (...keys: Uint8Array[]): DocumentKeys & { add: (key: Uint8Array) => void } => ({
    current: async () => ({ epoch: keys.length - 1, key: keys.at(-1) as Uint8Array }),
    get: async (epoch) => keys[epoch],
    refresh: async () => {},
    add: (key) => keys.push(key),
  })
  const bobs = held(documentKey)
  const room = { url: server.wsUrl, docId: 'rotated' }
  using ada = open({ ...room, key: held(documentKey, later) })
  using bob = open({ ...room, key: bobs })
  using removed = open({ ...room, key: held(documentKey) })
  using carol = open({ ...room, key: held(documentKey) })
  const [a, b, r, c] = [ada, bob, removed, carol].map((each) => each.channel<Chat>()) as [
    Channel<Chat>,
    Channel<Chat>,
    Channel<Chat>,
    Channel<Chat>,
  ]
  const [atBob, atRemoved] = [bob.said(b), removed.said(r)]
  await Promise.all([a, b, r, c].map(joined))
  await c.publish('message.sent', { text: 'before' })
  await a.publish('message.sent', { text: 'under the new key' })
  await c.publish('message.sent', { text: 'after' })
  await until(() => atBob.texts() === 'before', 'the first one')
  await Bun.sleep(300)
  expect(atBob.texts()).toBe('before')
  bobs.add(later)
  await until(() => atBob.texts() === 'before,under the new key,after', 'all, in order')
  expect(bob.problems).toEqual([])
  expect(atRemoved.texts()).toBe('before')
  // And not from what is kept, either.
  const kept = await r.history()
  expect(kept.map(({ data }) => data.text)).toEqual(['before', 'after'])
  expect(removed.problems.map(({ code }) => code)).toEqual(['unreadable'])
}, 60_000)
