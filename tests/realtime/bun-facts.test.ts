import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect as connectTcp } from 'node:net'
import type { Server, ServerWebSocket } from 'bun'
import { raw, until } from './support.ts'

type Data = { name: string; received: number; drained: number; closed: number }
let server: Server<Data>
const sockets = new Map<string, ServerWebSocket<Data>>()
let onMessage: (socket: ServerWebSocket<Data>, message: string | Buffer) => void = () => {}

beforeAll(() => {
  server = Bun.serve<Data>({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request, server) {
      const url = new URL(request.url)
      const headers = url.searchParams.has('protocol') ? { 'sec-websocket-protocol': 'usher.v1' } : undefined
      const data = { name: url.pathname, received: 0, drained: 0, closed: 0 }
      return server.upgrade(request, { data, headers }) ? undefined : new Response('no', { status: 400 })
    },
    websocket: {
      data: undefined as unknown as Data,
      open: (socket) => void sockets.set(socket.data.name, socket),
      message: (socket, message) => onMessage(socket, message),
      drain: (socket) => void socket.data.drained++,
      close: (socket, code) => {
        socket.data.closed = code
      },
      closeOnBackpressureLimit: true,
      backpressureLimit: 1024 * 1024,
      maxPayloadLength: 1024 * 1024,
      perMessageDeflate: false,
    },
  })
})
afterAll(() => server.stop(true))

async function client(name: string) {
  const peer = raw(`ws://127.0.0.1:${server.port}/${name}`)
  await peer.opened
  await until(() => sockets.has(`/${name}`), 'open')
  return { ...peer, socket: peer.socket, here: sockets.get(`/${name}`) as ServerWebSocket<Data> }
}

/** A client that shakes hands and then does not read. */
async function deafClient(name: string) {
  const tcp = connectTcp(server.port as number, '127.0.0.1')
  tcp.write(
    `GET /${name} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  )
  await until(() => sockets.has(`/${name}`), 'open')
  tcp.pause()
  return { tcp, here: sockets.get(`/${name}`) as ServerWebSocket<Data> }
}

describe('what the realtime plane relies on in Bun', () => {
  test('publish and send keep their order, and publish skips its own socket', async () => {
    const [a, b] = [await client('order-a'), await client('order-b')]
    a.here.subscribe('t')
    b.here.subscribe('t')
    for (let i = 0; i < 50; i++) {
      if (i % 2) b.here.send(Uint8Array.of(i))
      else a.here.publish('t', Uint8Array.of(i))
    }
    await until(() => b.frames.length === 50, 'received')
    expect(b.frames.map((frame) => frame[0])).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(a.frames).toEqual([])
  })

  test('one send may exceed the backpressure limit, what is published after it closes the socket', async () => {
    const { tcp, here } = await deafClient('deaf')
    here.subscribe('deaf')
    here.send(new Uint8Array(20 * 1024 * 1024))
    expect(here.readyState).toBe(1)
    expect(here.getBufferedAmount()).toBeGreaterThan(1024 * 1024)
    server.publish('deaf', Uint8Array.of(1))
    await until(() => here.data.closed !== 0, 'closed')
    expect(here.data.closed).toBe(1006)
    tcp.destroy()
  })

  test('drain comes once the peer reads, and then the buffer is empty', async () => {
    const { tcp, here } = await deafClient('late')
    here.send(new Uint8Array(12 * 1024 * 1024))
    expect(here.getBufferedAmount()).toBeGreaterThan(0)
    tcp.resume()
    tcp.on('data', () => {})
    await until(() => here.getBufferedAmount() === 0 && here.data.drained > 0, 'drained')
    expect(here.readyState).toBe(1)
    tcp.destroy()
  })

  test('pause stops reading but for what was read already, resume loses nothing', async () => {
    const seen: number[] = []
    onMessage = (socket, message) => {
      if (socket.data.name === '/paused') seen.push((message as Buffer)[0] as number)
    }
    const { socket, here } = await client('paused')
    here.pause()
    for (let i = 0; i < 200; i++) socket.send(Uint8Array.of(i))
    await Bun.sleep(200)
    expect(seen.length).toBeLessThan(200)
    here.resume()
    await until(() => seen.length === 200, 'received')
    expect(seen).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })

  test('a received buffer is not used again for the next message', async () => {
    const held: Buffer[] = []
    onMessage = (_, message) => void held.push(message as Buffer)
    const { socket } = await client('buffers')
    for (let i = 0; i < 100; i++) socket.send(new Uint8Array(64).fill(i))
    await until(() => held.length === 100, 'received')
    expect(held.every((buffer, i) => buffer.every((byte) => byte === i))).toBe(true)
  })

  test('an upgrade without a header repeats the first protocol offered, with one it does not', async () => {
    const offer = { protocols: ['usher.v1', 'bearer.c2VjcmV0'] }
    const explicit = raw(`ws://127.0.0.1:${server.port}/p1?protocol`, offer)
    await explicit.opened
    expect(explicit.socket.protocol).toBe('usher.v1')
  })

  test('a message over the limit closes the socket', async () => {
    const { socket, here } = await client('oversized')
    socket.send(new Uint8Array(2 * 1024 * 1024))
    await until(() => here.data.closed !== 0, 'closed')
    expect(here.data.closed).toBeOneOf([1006, 1009])
  })

  test('a close reason of 123 bytes arrives whole', async () => {
    const { here, closed } = await client('reason')
    here.close(4503, 'x'.repeat(123))
    expect(await closed).toEqual({ code: 4503, reason: 'x'.repeat(123) })
  })
})
