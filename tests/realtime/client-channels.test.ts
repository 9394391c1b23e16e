import { expect, test } from 'bun:test'
import {
  type Channel,
  ChannelError,
  type ChannelMessage,
  connect,
  connectRealtime,
  type SyncConnection,
  type WebSocketConstructor,
} from '@usher/sync'
import { type TestInstance, testInstance } from '../../apps/server/src/testing/server.ts'
import { chat, signedIn } from './channels-support.ts'
import { startSyncServer, until, withHeaders } from './support.ts'

type Chat = { 'message.sent': { text: string } }

/** Our client of channels for somebody who is signed in. */
async function member(t: TestInstance, userId: string) {
  const person = await signedIn(t, userId)
  const sockets: WebSocket[] = []
  const WithHost = withHeaders({ host: t.host })
  class Kept extends WithHost {
    constructor(url: string, protocols?: string[]) {
      super(url, protocols)
      sockets.push(this)
    }
  }
  let tokens = 0
  const realtime = connectRealtime({
    url: `ws://127.0.0.1:${t.server.port}/realtime`,
    getToken: () => {
      tokens++
      return person.token()
    },
    WebSocket: Kept as unknown as WebSocketConstructor,
    backoff: { minMs: 20, maxMs: 200 },
  })
  return Object.assign(realtime, {
    userId,
    /** The network goes away under the socket. */
    cut: () => (sockets.at(-1) as unknown as { terminate(): void } | undefined)?.terminate(),
    tokens: () => tokens,
    [Symbol.dispose]: realtime.destroy,
  })
}

const isJoined = (channel: Channel<Chat>) => until(() => channel.state.status === 'joined', 'joined')

function collect(channel: Channel<Chat>) {
  const messages: ChannelMessage<Chat>[] = []
  channel.on('message', (message) => messages.push(message))
  return messages
}

test('members of a channel hear each other; what one may not do is an error', async () => {
  const t = await testInstance()
  const { channel: name, ada, bob, eve } = await chat(t)
  using a = await member(t, ada.id)
  using b = await member(t, bob.id)
  using e = await member(t, eve.id)
  const [as, bs, es] = [a, b, e].map((each) => each.channel<Chat>(name)) as [
    Channel<Chat>,
    Channel<Chat>,
    Channel<Chat>,
  ]
  const heard = collect(as)
  // Before it is joined: it waits.
  const published = bs.publish('message.sent', { text: 'hello' })
  await Promise.all([isJoined(as), isJoined(bs), until(() => es.state.status === 'ended', 'refused')])
  expect(await published).toMatchObject({ offset: 1 })
  expect(as.state).toMatchObject({ canPublish: false, canReadHistory: true })
  expect(bs.state).toMatchObject({ canPublish: true })
  expect(es.state).toMatchObject({ code: 'forbidden' })
  await bs.publish('message.sent', { text: 'again' })
  await until(() => heard.at(-1)?.data.text === 'again', 'heard')
  expect(heard.at(-1)).toMatchObject({ name: 'message.sent', offset: 2, from: { user: bob.id } })
  for (const channel of [as, es])
    expect(await channel.publish('message.sent', { text: 'no' }).catch((error) => error)).toBeInstanceOf(ChannelError)
  expect((await as.history()).map(({ data }) => data.text)).toEqual(['hello', 'again'])
})

test('C-3 what was said while a connection was gone comes once and in order', async () => {
  const t = await testInstance()
  const { channel: name, ada, bob } = await chat(t)
  using a = await member(t, ada.id)
  using b = await member(t, bob.id)
  const [as, bs] = [a.channel<Chat>(name), b.channel<Chat>(name)]
  const heard = collect(as)
  let gaps = 0
  as.on('gap', () => gaps++)
  await Promise.all([isJoined(as), isJoined(bs)])
  const texts = Array.from({ length: 60 }, (_, i) => `${i}`)
  for (const [i, text] of texts.entries()) {
    // The publisher's connection breaks, too: each message has to be there once.
    const published = bs.publish('message.sent', { text })
    if (i % 20 === 5) {
      // What is gone already cannot be cut.
      await isJoined(as)
      a.cut()
    }
    if (i % 20 === 10) b.cut()
    await published
  }
  await until(() => heard.length >= texts.length, 'heard')
  expect(heard.map(({ data }) => data.text)).toEqual(texts)
  expect(heard.map(({ offset }) => offset)).toEqual(texts.map((_, i) => i + 1))
  expect(gaps).toBe(0)
  expect(a.tokens()).toBeGreaterThan(3)
}, 60_000)

test('C-4 members are shown with what they say of themselves', async () => {
  const t = await testInstance()
  const { channel: name, ada, bob } = await chat(t)
  using a = await member(t, ada.id)
  const b = await member(t, bob.id)
  const as = a.channel<Chat>(name, { presence: { mood: 'fine' } })
  await isJoined(as)
  const bs = b.channel<Chat>(name, { presence: { mood: 'busy' } })
  const moods = (channel: Channel<Chat>) => channel.members.map(({ user, data }) => `${user} ${data.mood}`).sort()
  for (const each of [as, bs])
    await until(() => moods(each).join() === [`${ada.id} fine`, `${bob.id} busy`].sort().join(), 'shown')
  bs.setPresence({ mood: 'away' })
  await until(() => moods(as).includes(`${bob.id} away`), 'changed')
  b.destroy()
  await until(() => moods(as).join() === `${ada.id} fine`, 'gone')
}, 60_000)

test('C-4 what a member says of themselves before they are in is what the others see', async () => {
  const t = await testInstance()
  const { channel: name, ada, bob } = await chat(t)
  using a = await member(t, ada.id)
  using b = await member(t, bob.id)
  const as = a.channel<Chat>(name, { presence: {} })
  await isJoined(as)
  await until(() => b.state.status === 'open', 'open')
  // The question is on its way, and not answered yet.
  const bs = b.channel<Chat>(name, { presence: { mood: 'early' } })
  bs.setPresence({ mood: 'late' })
  await isJoined(bs)
  await until(() => as.members.some(({ data }) => data.mood === 'late'), 'the later one')
}, 60_000)

test('a document has a channel of its own, on its socket', async () => {
  await using server = await startSyncServer()
  const [ada, bob] = [1, 2].map(() => connect({ url: server.wsUrl, docId: 'with-chat' })) as [
    SyncConnection,
    SyncConnection,
  ]
  const [as, bs] = [ada.channel<Chat>(), bob.channel<Chat>()]
  const heard = collect(as)
  await Promise.all([isJoined(as), isJoined(bs), ada.whenSynced(), bob.whenSynced()])
  await bs.publish('message.sent', { text: 'beside the document' })
  bob.doc.getText('t').insert(0, 'in the document')
  await until(() => heard.at(-1)?.data.text === 'beside the document', 'heard')
  await until(() => ada.doc.getText('t').toString() === 'in the document', 'received')
  expect(ada.state).toMatchObject({ status: 'connected', access: 'write' })
  for (const { destroy } of [ada, bob]) destroy()
}, 60_000)
