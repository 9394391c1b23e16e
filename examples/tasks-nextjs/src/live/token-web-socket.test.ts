import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { Refused, tokenWebSocket } from './token-web-socket'

/** Stands for the network: records the addresses that were opened. */
class FakeSocket {
  static CONNECTING = 0
  static OPEN = 1
  static CLOSING = 2
  static CLOSED = 3
  static opened: FakeSocket[] = []
  readyState = FakeSocket.CONNECTING
  onopen?: (event: unknown) => void
  onclose?: (event: unknown) => void
  constructor(readonly url: URL) {
    FakeSocket.opened.push(this)
  }
  send() {}
  close() {
    this.readyState = FakeSocket.CLOSED
  }
  end(code: number) {
    this.readyState = FakeSocket.CLOSED
    this.onclose?.({ code, reason: '' })
  }
}

const real = globalThis.WebSocket
let provider: WebsocketProvider
beforeEach(() => {
  FakeSocket.opened = []
  globalThis.WebSocket = FakeSocket as unknown as typeof WebSocket
})
afterEach(() => {
  provider.destroy()
  globalThis.WebSocket = real
})

const open = (getGrant: Parameters<typeof tokenWebSocket>[1]) => {
  const options = { WebSocketPolyfill: tokenWebSocket('doc', getGrant), disableBc: true, maxBackoffTime: 10 }
  provider = new WebsocketProvider('ws://unused', 'doc', new Y.Doc(), options)
  return provider
}
const settled = () => new Promise((resolve) => setTimeout(resolve, 60))

test('every connection asks for a token of its own', async () => {
  let asked = 0
  open(async () => ({ url: 'ws://sync.test/sync', token: `t ${++asked}`, access: 'write' }))
  await settled()
  assert.equal(FakeSocket.opened.at(-1)?.url.href, 'ws://sync.test/sync/doc?token=t+1')
  FakeSocket.opened.at(-1)?.end(4001)
  await settled()
  assert.equal(FakeSocket.opened.at(-1)?.url.searchParams.get('token'), 't 2')
  assert.equal(asked, FakeSocket.opened.length)
})

test('a refusal opens no socket and is final', async () => {
  let asked = 0
  const closed: unknown[] = []
  open(async () => {
    asked++
    throw new Refused(4403, 'no')
  }).on('closed', (event) => closed.push(event))
  await settled()
  assert.deepEqual([asked, FakeSocket.opened.length], [1, 0])
  assert.deepEqual(closed, [{ code: 4403, reason: 'no' }])
})

test('any other failure is tried again', async () => {
  let asked = 0
  open(async () => {
    if (++asked < 3) throw new Error('offline')
    return { url: 'ws://sync.test/sync', token: 't', access: 'read' }
  })
  await settled()
  assert.deepEqual([asked, FakeSocket.opened.length], [3, 1])
})

test('a provider that gave up while the token was under way opens nothing', async () => {
  let hand = (_: { url: string; token: string; access: 'read' }) => {}
  const room = open(
    () =>
      new Promise((resolve) => {
        hand = resolve
      }),
  )
  room.disconnect()
  hand({ url: 'ws://sync.test/sync', token: 't', access: 'read' })
  await settled()
  assert.equal(FakeSocket.opened.length, 0)
})
