import { expect, test } from 'bun:test'
import { Connection, type Socket } from './connection.ts'
import { defaultLimits } from './limits.ts'
import { Outbox, Outboxes } from './outbox.ts'

/** A room of so many sockets, and what was published to it: which frame, and by whom ('server' goes to everybody). */
function testRoom(sockets: number) {
  const published: [author: string, frame: number][] = []
  const join = (name: string): Connection => {
    const principal = {
      instanceId: 'standalone',
      kind: 'anonymous',
      userId: undefined,
      sessionId: undefined,
      organizationId: undefined,
      permissionVersion: undefined,
    } as const
    const connection = new Connection(principal, 'room', { access: 'write', granted: 'write' }, defaultLimits, 0)
    connection.state = 'live'
    const publish = (_: string, frame: Uint8Array) => published.push([name, frame[0] as number])
    connection.socket = { readyState: WebSocket.OPEN, publish } as unknown as Socket
    return connection
  }
  const connections = new Set(Array.from({ length: sockets }, (_, i) => join(`socket ${i}`)))
  const [author = join('author'), other = join('other')] = connections
  const outboxes = new Outboxes((_, frame) => published.push(['server', frame[0] as number]))
  return { author, other, published, outbox: new Outbox({ topic: 'topic', connections }, outboxes) }
}

const frame = (n: number) => Uint8Array.of(n)

/** A second in which the room has so many frames, as the clock that is handed in says. */
function passSecond({ author, outbox }: ReturnType<typeof testRoom>, frames: number) {
  for (let i = 0; i < frames; i++) outbox.send(author, frame(0), 1000 + (i * 1000) / frames)
}

test('a frame of a quiet room leaves at once', () => {
  const room = testRoom(200)
  passSecond(room, 500)
  expect(room.published).toHaveLength(500)
  room.outbox.send(room.author, frame(1), 2000)
  expect(room.published.at(-1)).toEqual(['socket 0', 1])
})

test('R-20 frames of a very busy room leave together, in their order, a few milliseconds later', async () => {
  const room = testRoom(200)
  passSecond(room, 2000)
  room.outbox.flush()
  room.published.length = 0
  room.outbox.send(room.author, frame(1), 2000)
  room.outbox.send(room.other, frame(2), 2000)
  room.outbox.send(undefined, frame(3), 2001)
  expect(room.published).toEqual([])
  await Bun.sleep(20)
  expect(room.published).toEqual([
    ['socket 0', 1],
    ['socket 1', 2],
    ['server', 3],
  ])
})

test('what would be many writes anyway does not wait', () => {
  const room = testRoom(200)
  passSecond(room, 2000)
  room.outbox.flush()
  room.published.length = 0
  for (let i = 0; i < 40; i++) room.outbox.send(room.author, frame(i), 2000)
  expect(room.published.map(([, n]) => n)).toEqual(Array.from({ length: 32 }, (_, i) => i))
})

test('a room that becomes quiet passes on what waits before what comes', () => {
  const room = testRoom(200)
  passSecond(room, 2000)
  room.outbox.flush()
  room.published.length = 0
  room.outbox.send(room.author, frame(1), 2000)
  room.outbox.send(room.author, frame(2), 9000)
  room.outbox.send(room.author, frame(3), 9200)
  expect(room.published.map(([, n]) => n)).toEqual([1, 2, 3])
})

test('what an author wrote before it left reaches the others', () => {
  const room = testRoom(200)
  passSecond(room, 2000)
  room.outbox.flush()
  room.published.length = 0
  room.outbox.send(room.author, frame(1), 2000)
  room.author.state = 'closing'
  room.outbox.flush()
  expect(room.published).toEqual([['server', 1]])
})
