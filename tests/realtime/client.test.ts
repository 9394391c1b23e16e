import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  AccessDenied,
  type ConnectionState,
  type ConnectOptions,
  connect,
  indexedDbStorage,
  tokenWebSocket,
} from '@usher/sync'
import 'fake-indexeddb/auto'
import { temporaryDirectory } from '../support/usher.ts'
import { generous, startSyncServer, connect as stockClient, until } from './support.ts'

let open: Awaited<ReturnType<typeof startSyncServer>>
beforeAll(async () => {
  open = await startSyncServer({ env: generous })
}, 60_000)
afterAll(() => open?.stop())

let rooms = 0
const newRoom = () => `client-${rooms++}`

/** A client that goes with the test, and what its state was over time. */
function client(docId: string, options: Partial<ConnectOptions> = {}) {
  const connection = connect({ url: open.wsUrl, docId, backoff: { minMs: 20, maxMs: 200 }, ...options })
  const states: ConnectionState[] = []
  connection.on('state', (state) => states.push(state))
  return Object.assign(connection, { states, text: connection.doc.getText('t'), [Symbol.dispose]: connection.destroy })
}

describe('a document that the server can read', () => {
  test('is the same here, there and in a stock client', async () => {
    const room = newRoom()
    using ada = client(room)
    using bob = client(room)
    using carol = stockClient(open.wsUrl, room)
    await Promise.all([ada.whenSynced(), bob.whenSynced(), carol.synced()])
    ada.text.insert(0, 'Hello')
    await until(() => [bob.text, carol.doc.getText('t')].every((text) => text.toString() === 'Hello'), 'received')
    carol.doc.getText('t').insert(5, ' world')
    await until(() => ada.text.toString() === 'Hello world', 'received')
    expect(ada.states.map(({ status }) => status)).toEqual(['connecting', 'connected', 'connected'])
    expect(ada.state).toEqual({ status: 'connected', access: 'write', synced: true })
  })

  test('is unsaved until it is durable', async () => {
    const room = newRoom()
    using ada = client(room, { autoConnect: false })
    const unsaved: boolean[] = []
    ada.on('unsaved', (now) => unsaved.push(now))
    await ada.restored
    ada.text.insert(0, 'offline')
    expect(ada.unsaved).toBe(true)
    ada.connect()
    await ada.whenSaved()
    expect(unsaved).toEqual([true, false])
    for (let i = 0; i < 20; i++) {
      ada.text.insert(0, `${i} `)
      if (i % 5 === 0) await Bun.sleep(5)
    }
    expect(ada.unsaved).toBe(true)
    await ada.whenSaved()
    expect(ada.unsaved).toBe(false)
    expect(unsaved.length).toBeGreaterThan(3)
    expect(unsaved.every((now, i) => now === (i % 2 === 0))).toBe(true)
    using late = client(room)
    await late.whenSynced()
    expect(late.text.toString()).toBe(ada.text.toString())
  })

  test('shows who is here, and who left', async () => {
    const room = newRoom()
    using ada = client(room)
    const bob = client(room)
    using carol = stockClient(open.wsUrl, room)
    ada.awareness.setLocalStateField('user', { name: 'Ada' })
    bob.awareness.setLocalStateField('user', { name: 'Bob' })
    const names = (states: Map<number, { [key: string]: unknown }>) =>
      [...states.values()]
        .map(({ user }) => (user as { name: string } | undefined)?.name)
        .filter(Boolean)
        .sort()
    for (const { awareness } of [ada, bob, carol.client])
      await until(() => names(awareness.getStates()).join() === 'Ada,Bob', 'seen')
    bob.destroy()
    for (const { awareness } of [ada, carol.client])
      await until(() => names(awareness.getStates()).join() === 'Ada', 'gone')
    ada.disconnect()
    expect(names(ada.awareness.getStates())).toEqual(['Ada'])
    await until(() => names(carol.client.awareness.getStates()).length === 0, 'gone')
  })

  test('comes along when the connection is back, in both directions', async () => {
    const room = newRoom()
    using ada = client(room)
    using bob = client(room)
    await Promise.all([ada.whenSynced(), bob.whenSynced()])
    ada.disconnect()
    expect(ada.state.status).toBe('offline')
    ada.text.insert(0, 'A')
    bob.text.insert(0, 'B')
    await bob.whenSaved()
    ada.connect()
    await Promise.all([ada.whenSaved(), ada.whenSynced()])
    await until(() => bob.text.length === 2 && ada.text.length === 2, 'merged')
    expect(ada.text.toString()).toBe(bob.text.toString())
  })

  test('stays on this device', async () => {
    const room = newRoom()
    const storage = indexedDbStorage({ database: room })
    {
      using ada = client(room, { storage, url: 'ws://127.0.0.1:9/sync' })
      await ada.restored
      for (let i = 0; i < 250; i++) ada.text.insert(0, 'x')
      ada.text.insert(0, 'kept ')
      await until(() => ada.state.status === 'waiting', 'waiting')
    }
    await Bun.sleep(50)
    {
      using ada = client(room, { storage, url: 'ws://127.0.0.1:9/sync', autoConnect: false })
      await ada.restored
      expect(ada.text.toString()).toBe(`kept ${'x'.repeat(250)}`)
      expect(ada.unsaved).toBe(true)
      await ada.forget()
    }
    using ada = client(room, { storage, url: 'ws://127.0.0.1:9/sync', autoConnect: false })
    await ada.restored
    expect(ada.text.toString()).toBe('')
    expect(ada.unsaved).toBe(false)
  })
})

describe('a connection', () => {
  test('asks for one token for all that ask at once, and another for each connection', async () => {
    const room = newRoom()
    let calls = 0
    const getToken = async (docId: string) => {
      calls++
      await Bun.sleep(20)
      return { token: `for ${docId}`, url: open.wsUrl }
    }
    using ada = client(room, { getToken })
    using bob = client(room, { getToken })
    await Promise.all([ada.whenSynced(), bob.whenSynced()])
    expect(calls).toBe(1)
    ada.disconnect()
    ada.connect()
    await ada.whenSynced()
    expect(calls).toBe(2)
  })

  test('stops where coming back changes nothing, and tells why', async () => {
    await using closed = await startSyncServer({ args: ['--token', 'a token of thirty-two characters'] })
    using wrong = client('room', { url: closed.wsUrl, token: 'wrong' })
    await until(() => wrong.state.status === 'stopped', 'stopped')
    expect(wrong.state).toMatchObject({ status: 'stopped', reason: 'token_needed', code: 4001 })
    expect(wrong.whenSynced()).rejects.toThrow('token_needed')
    using without = client('room', { url: closed.wsUrl })
    await until(() => without.state.status === 'stopped', 'stopped')
    expect(without.state).toMatchObject({ reason: 'token_needed', code: 4001 })
    using right = client('room', { url: closed.wsUrl, token: 'a token of thirty-two characters' })
    await right.whenSynced()
    using denied = client('room', { getToken: () => Promise.reject(new AccessDenied(4403)) })
    await until(() => denied.state.status === 'stopped', 'stopped')
    expect(denied.state).toMatchObject({ reason: 'forbidden', code: 4403 })
    using status = client('room', { getToken: () => Promise.reject(Object.assign(new Error('no'), { status: 401 })) })
    await until(() => status.state.status === 'stopped', 'stopped')
    expect(status.state).toMatchObject({ reason: 'signed_out', code: 4401 })
  }, 60_000)

  test('renews its token in place, follows its role, and moves on when the server asks for it', async () => {
    const heard: string[] = []
    const offered: string[] = []
    const sockets: Bun.ServerWebSocket[] = []
    const server = Bun.serve({
      port: 0,
      fetch(request, server) {
        offered.push(request.headers.get('sec-websocket-protocol') ?? '')
        return server.upgrade(request, { headers: { 'sec-websocket-protocol': 'usher.v1' } })
          ? undefined
          : new Response()
      },
      websocket: {
        open: (socket) => void sockets.push(socket),
        message: (_, message) => void (typeof message === 'string' && heard.push(message)),
      },
    })
    let tokens = 0
    const getToken = () => `token-${++tokens}`
    const url = `ws://127.0.0.1:${server.port}/sync`
    const bearer = (token: string) => `usher.v1, bearer.${Buffer.from(token).toString('base64url')}`.replace(' ', '')
    using ada = client('room', { url, getToken })
    await until(() => sockets.length === 1 && ada.state.status === 'connected', 'connected')
    sockets[0]?.send('{"t":"expiring","inMs":1000}')
    await until(() => heard.length === 1, 'renewed')
    expect(heard).toEqual(['{"t":"auth","token":"token-2"}'])
    sockets[0]?.send('{"t":"role","access":"read"}')
    await until(() => ada.state.status === 'connected' && ada.state.access === 'read', 'told')
    sockets[0]?.send('{"t":"goaway","inMs":50}')
    await until(() => sockets.length === 2, 'moved')
    expect(offered.map((each) => each.replace(' ', ''))).toEqual([bearer('token-1'), bearer('token-3')])
    // The class for the unmodified client does the same.
    const Polyfill = tokenWebSocket({ getToken })
    const socket = new Polyfill(`${url}/room`)
    const frames: unknown[] = []
    socket.onmessage = ({ data }) => frames.push(data)
    await until(() => sockets.length === 3 && socket.readyState === 1, 'connected')
    sockets[2]?.send('{"t":"expiring","inMs":1000}')
    await until(() => heard.length === 2, 'renewed')
    expect(heard[1]).toBe('{"t":"auth","token":"token-5"}')
    expect(frames).toEqual([])
    socket.close()
    ada.destroy()
    server.stop(true)
  })

  test('tries again with growing pauses that are not the same for all', async () => {
    let calls = 0
    const getToken = () => Promise.reject(new Error(`the network is down ${calls++}`))
    const both = [client('room', { getToken }), client('room', { getToken: () => getToken() })]
    await Bun.sleep(400)
    for (const { states, destroy } of both) {
      const pauses = states.flatMap((state) => (state.status === 'waiting' ? [state] : []))
      expect(pauses.length).toBeGreaterThan(2)
      expect(pauses.length).toBeLessThan(12)
      expect(pauses[0]).toMatchObject({ reason: 'network', attempt: 1 })
      destroy()
    }
    const before = calls
    await Bun.sleep(250)
    expect(calls).toBe(before)
  })

  test('comes back after a restart of the server', async () => {
    using data = temporaryDirectory()
    const server = await startSyncServer({ data: data.path })
    const { port } = new URL(server.wsUrl)
    using ada = client('room', { url: server.wsUrl })
    await ada.whenSynced()
    await server.stop()
    await until(() => ada.state.status === 'waiting' || ada.state.status === 'connecting', 'waiting')
    ada.text.insert(0, 'meanwhile')
    await using again = await startSyncServer({ args: ['--port', port], data: data.path })
    await Promise.all([ada.whenSynced(), ada.whenSaved()])
    using bob = client('room', { url: again.wsUrl })
    await bob.whenSynced()
    expect(bob.text.toString()).toBe('meanwhile')
  }, 60_000)
})

test('another CRDT than Yjs needs an encrypted room', () => {
  const crdt = { contentType: 255, apply() {}, encodeState: () => new Uint8Array(), onUpdate: () => () => {} }
  expect(() => connect({ url: open.wsUrl, docId: 'room', doc: crdt })).toThrow(TypeError)
})
