import { expect, test } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { channelsOf } from '../../apps/server/src/domains/channels/index.ts'
import { parseLimits } from '../../apps/server/src/domains/sync/limits.ts'
import { testInstance } from '../../apps/server/src/testing/server.ts'
import { channels } from './channels-support.ts'
import { somebody } from './named.ts'
import { until } from './support.ts'

/** Opens a socket by hand from an address, and then sends a frame that never ends, as fast as it is taken. */
function flood(port: number, host: string, path: string, from: string) {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from })
  let isOver = false
  let status = ''
  let sent = 0
  socket.on('error', () => {})
  socket.on('close', () => {
    isOver = true
  })
  socket.once('data', (bytes: Buffer) => {
    status = bytes.toString('latin1', 9, 12)
    const head = Buffer.alloc(14)
    head.set([0x82, 0xff])
    head.writeBigUInt64BE(BigInt(32 << 20), 2)
    socket.write(head)
    const chunk = Buffer.alloc(65_536)
    const go = () => {
      while (sent < 31 << 20 && !isOver) {
        sent += chunk.length
        if (!socket.write(chunk)) return void socket.once('drain', go)
      }
    }
    go()
  })
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: usher.v1\r\n\r\n`,
  )
  return {
    get status() {
      return status
    },
    get sent() {
      return sent
    },
    over: (ms: number) => until(() => isOver, 'over', ms),
    [Symbol.dispose]: () => socket.destroy(),
  }
}

test.concurrent('K5 who is refused is not read any more', async () => {
  const t = await testInstance()
  const { port } = t.server
  const wrong = ['/sync/nothing?token=wrong', '/realtime?token=wrong']
  const refused = wrong.map((path, i) => flood(port, t.host, path, `127.78.0.${i + 1}`))
  await Promise.all(refused.map((socket) => socket.over(4000)))
  // What it could send lies in the system's buffers, not in the server.
  for (const socket of refused) expect([socket.status, socket.sent < 16 << 20]).toEqual(['101', true])
  for (const socket of refused) socket[Symbol.dispose]()
}, 60_000)

test('K5 nobody waits where an operator wants no first messages', () => {
  expect(parseLimits('waitingSockets=0').waitingSockets).toBe(0)
  expect(() => parseLimits('connectionsPerUser=0')).toThrow()
})

test.concurrent('C-3 C-8 however much was missed in a channel, it comes in full, at the pace at which it is taken', async () => {
  const t = await testInstance()
  const { instance, database } = t.ctx()
  const userId = await somebody(t)
  const name = `user:${userId}:notifications`
  const hub = channelsOf(database)
  const type = { history: 'durable', retentionDays: 1 } as const
  const payload = JSON.stringify('x'.repeat(60_000))
  const send = () =>
    hub.send({ instanceId: instance.id, channel: name, type, name: 'n', payload, from: { user: null, conn: null } })
  const [first] = await Promise.all(Array.from({ length: 300 }, send))
  using server = channels(t, t.secretKey)
  const answer = await server.ask({ t: 'sub', ch: name, since: { epoch: first?.epoch, offset: 0 } })
  expect(answer).toMatchObject({ t: 'subbed', recovered: true, offset: 0 })
  const offsets = () => server.texts.filter((text) => text.t === 'msg').map((text) => text.offset)
  await until(() => offsets().length === 300 || server.closing !== undefined, 'recovered')
  expect(server.closing).toBeUndefined()
  expect(offsets()).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
  // A page of the history holds as many as a megabyte does.
  const { messages } = (await server.ask({ t: 'history', ch: name, limit: 100 })) as unknown as {
    messages: { offset: number }[]
  }
  expect(messages.map(({ offset }) => offset)).toEqual(Array.from({ length: 18 }, (_, i) => i + 283))
  expect(server.closing).toBeUndefined()
}, 60_000)
