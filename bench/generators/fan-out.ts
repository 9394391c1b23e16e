/**
 * One publisher and its room over plain TCP. Prints how many updates a second reached a subscriber, all subscribers
 * together, from the first byte written until the last subscriber has the last update.
 */
import { clientFrame, upgradeRequest } from '../support/web-socket-frames.ts'
import { emptyStep1, marker, markerEvery, typingUpdates, updateMessage, varString } from '../support/yjs-updates.ts'

export type FanOutInput = {
  port: number
  path: string
  subscribers: number
  updates: number
  /** `hocuspocus` puts the document's name before each message and wants an authentication message first. */
  dialect: 'y-websocket' | 'hocuspocus'
  room: string
}
export type FanOutResult = { deliveriesPerSecond: number; seconds: number }

const input: FanOutInput = await Bun.stdin.json()
const { port, dialect, room } = input
const inDialect = (message: Uint8Array) =>
  dialect === 'hocuspocus' ? Buffer.concat([Buffer.from(varString(room)), message]) : message

type Subscriber = { isOpen: boolean; closed: boolean; markers: number; carry: Buffer; toWrite: Buffer; written: number }
type Socket = Bun.Socket<Subscriber>

/** Counts markers in the stream; one may lie across two chunks. */
function count(subscriber: Subscriber, chunk: Buffer) {
  const { carry } = subscriber
  const bytes = carry.length > 0 ? Buffer.concat([carry, chunk.subarray(0, marker.length - 1)]) : carry
  for (let at = bytes.indexOf(marker); at >= 0 && at < carry.length; at = bytes.indexOf(marker, at + 1))
    subscriber.markers++
  for (let at = chunk.indexOf(marker); at >= 0; at = chunk.indexOf(marker, at + marker.length)) subscriber.markers++
  const tail = chunk.length >= marker.length - 1 ? chunk : Buffer.concat([carry, chunk])
  subscriber.carry = Buffer.from(tail.subarray(Math.max(0, tail.length - marker.length + 1)))
}

function flush(socket: Socket) {
  const { data } = socket
  while (data.written < data.toWrite.length) {
    const taken = socket.write(data.toWrite.subarray(data.written, data.written + 256 * 1024))
    if (taken <= 0) return
    data.written += taken
  }
}

let whenMoved = () => {}
const handlers = {
  data(socket: Socket, chunk: Buffer) {
    if (!socket.data.isOpen) {
      const end = chunk.indexOf('\r\n\r\n')
      if (!chunk.subarray(0, 12).toString().endsWith('101') || end < 0)
        throw new Error(`refused: ${chunk.subarray(0, 200)}`)
      socket.data.isOpen = true
      const hello = [inDialect(emptyStep1)]
      if (dialect === 'hocuspocus') hello.unshift(Buffer.from([...varString(room), 2, 0, ...varString('')]))
      for (const message of hello) socket.write(clientFrame(message))
      count(socket.data, chunk.subarray(end + 4))
    } else count(socket.data, chunk)
    whenMoved()
  },
  drain: flush,
  close(socket: Socket) {
    socket.data.closed = true
    whenMoved()
  },
}

const sockets: Socket[] = []
for (let i = 0; i < input.subscribers; i++) {
  const data = {
    isOpen: false,
    closed: false,
    markers: 0,
    carry: Buffer.alloc(0),
    toWrite: Buffer.alloc(0),
    written: 0,
  }
  const socket = await Bun.connect<Subscriber>({ hostname: '127.0.0.1', port, socket: handlers, data })
  socket.write(upgradeRequest(input.path, port))
  sockets.push(socket)
}
const publisher = sockets[0] as Socket

/** Until every subscriber has so many markers. */
function everybodyHas(markers: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      const behind = sockets.filter(({ data }) => data.markers < markers)
      reject(new Error(`${behind.length} subscribers lack updates: ${behind[0]?.data.markers} of ${markers}`))
    }, 30_000)
    whenMoved = () => {
      if (sockets.some(({ data }) => data.closed)) reject(new Error('the server closed a connection'))
      if (sockets.some(({ data }) => data.markers < markers)) return
      clearTimeout(limit)
      resolve()
    }
    whenMoved()
  })
}

const messages = [...typingUpdates(1_000_000 + Math.floor(Math.random() * 1e6), input.updates + markerEvery)]
const frames = messages.map((update) => clientFrame(inDialect(updateMessage(update))))
// Everybody is in the room when they have the first sixteen; those do not count.
while (sockets.some(({ data }) => !data.isOpen)) await Bun.sleep(5)
await Bun.sleep(200)
publisher.data.toWrite = Buffer.concat(frames.slice(0, markerEvery))
flush(publisher)
await everybodyHas(1)

publisher.data.toWrite = Buffer.concat(frames.slice(markerEvery))
publisher.data.written = 0
const startedAt = performance.now()
flush(publisher)
await everybodyHas(1 + Math.floor(input.updates / markerEvery))
const seconds = (performance.now() - startedAt) / 1000
const result: FanOutResult = { deliveriesPerSecond: (input.updates * input.subscribers) / seconds, seconds }
console.log(JSON.stringify(result))
process.exit(0)
