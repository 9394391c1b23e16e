/**
 * One publisher in each room, over plain TCP, as fast as its socket takes it. Prints how many updates a second reached
 * a subscriber, all subscribers together, from the first byte written until the last subscriber has the last update.
 */
import { afterWelcome, type Dialect, frame, hello } from '../realtime/dialects.ts'
import { upgradeRequest } from '../support/web-socket-frames.ts'
import { marker, markerEvery, typingUpdates, updateBytes, updateMessage, varString } from '../support/yjs-updates.ts'

export type FanOutInput = {
  port: number
  /** Each has an address and a name. */
  rooms: { path: string; room: string }[]
  subscribersPerRoom: number
  /** Of each publisher. */
  updates: number
  dialect: Dialect
}
export type FanOutResult = { deliveriesPerSecond: number; seconds: number }

const input: FanOutInput = await Bun.stdin.json()
const { port, dialect } = input

type Subscriber = {
  room: string
  isOpen: boolean
  hasJoined: boolean
  markers: number
  carry: Buffer
  toWrite: Buffer
  written: number
}
type Socket = Bun.Socket<Subscriber>

let wanted = Number.POSITIVE_INFINITY
/** Sockets that have as many markers as are wanted. */
let satisfied = 0
let broken = 0
let whenMoved = () => {}

/** Counts markers in the stream; one may lie across two chunks. */
function count(subscriber: Subscriber, chunk: Buffer) {
  const { carry } = subscriber
  const before = subscriber.markers
  const bytes = carry.length > 0 ? Buffer.concat([carry, chunk.subarray(0, marker.length - 1)]) : carry
  for (let at = bytes.indexOf(marker); at >= 0 && at < carry.length; at = bytes.indexOf(marker, at + 1))
    subscriber.markers++
  for (let at = chunk.indexOf(marker); at >= 0; at = chunk.indexOf(marker, at + marker.length)) subscriber.markers++
  const tail = chunk.length >= marker.length - 1 ? chunk : Buffer.concat([carry, chunk])
  subscriber.carry = Buffer.from(tail.subarray(Math.max(0, tail.length - marker.length + 1)))
  if (before < wanted && subscriber.markers >= wanted) {
    satisfied++
    whenMoved()
  }
}

function flush(socket: Socket) {
  const { data } = socket
  while (data.written < data.toWrite.length) {
    const taken = socket.write(data.toWrite.subarray(data.written, data.written + 256 * 1024))
    if (taken <= 0) return
    data.written += taken
  }
}

const handlers = {
  data(socket: Socket, chunk: Buffer) {
    const { data } = socket
    if (!data.hasJoined) {
      const answer = afterWelcome(dialect, data.room, chunk)
      data.hasJoined = answer !== undefined
      if (answer) socket.write(answer)
    }
    if (data.isOpen) return count(data, chunk)
    const end = chunk.indexOf('\r\n\r\n')
    if (!chunk.subarray(0, 12).toString().endsWith('101') || end < 0)
      throw new Error(`refused: ${chunk.subarray(0, 200)}`)
    data.isOpen = true
    socket.write(hello(dialect, data.room))
    count(data, chunk.subarray(end + 4))
  },
  drain: flush,
  close() {
    broken++
    whenMoved()
  },
}

const sockets: Socket[] = []
const publishers: Socket[] = []
for (const { path, room } of input.rooms) {
  for (let i = 0; i < input.subscribersPerRoom; i++) {
    const data: Subscriber = {
      room,
      isOpen: false,
      hasJoined: dialect !== 'socket.io',
      markers: 0,
      carry: Buffer.alloc(0),
      toWrite: Buffer.alloc(0),
      written: 0,
    }
    const socket = await Bun.connect<Subscriber>({ hostname: '127.0.0.1', port, socket: handlers, data })
    socket.write(upgradeRequest(path, port))
    sockets.push(socket)
    if (i === 0) publishers.push(socket)
  }
}

/** Until every subscriber has so many markers. */
function everybodyHas(markers: number): Promise<void> {
  wanted = markers
  satisfied = sockets.filter(({ data }) => data.markers >= markers).length
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      const behind = sockets.filter(({ data }) => data.markers < markers)
      reject(new Error(`${behind.length} subscribers lack updates: ${behind[0]?.data.markers} of ${markers}`))
    }, 30_000)
    whenMoved = () => {
      if (broken > 0) reject(new Error('the server closed a connection'))
      if (satisfied < sockets.length) return
      clearTimeout(limit)
      resolve()
    }
    whenMoved()
  })
}

/** Every update, in the words of the dialect and as it stands on the wire. */
function* framesFor(room: string): Generator<Buffer> {
  const total = input.updates + markerEvery
  if (dialect === 'socket.io') {
    for (let i = 0; i < total; i++) {
      const ends = (i + 1) % markerEvery === 0
      const text = (ends ? marker.toString() : '').padEnd(updateBytes, 'x')
      yield frame(Buffer.from(`42["m",${JSON.stringify(room)},"${text}"]`), 1)
    }
    return
  }
  for (const update of typingUpdates(1_000_000 + Math.floor(Math.random() * 1e6), total)) {
    const message = updateMessage(update)
    yield frame(dialect === 'hocuspocus' ? Buffer.concat([Buffer.from(varString(room)), message]) : message)
  }
}

// Each publisher has a client id of its own only where the rooms' names stand in the frames anyway.
const shared = dialect === 'y-websocket' ? [...framesFor('')] : undefined
const frames = publishers.map(({ data }) => shared ?? [...framesFor(data.room)])
for (const deadline = Date.now() + 20_000; sockets.some(({ data }) => !data.isOpen || !data.hasJoined); ) {
  if (Date.now() > deadline) throw new Error('sockets did not open')
  await Bun.sleep(5)
}
await Bun.sleep(200)
// Everybody is in the room when they have the first sixteen; those do not count.
for (const [i, publisher] of publishers.entries()) {
  publisher.data.toWrite = Buffer.concat((frames[i] as Buffer[]).slice(0, markerEvery))
  flush(publisher)
}
await everybodyHas(1)

for (const [i, publisher] of publishers.entries()) {
  publisher.data.toWrite = Buffer.concat((frames[i] as Buffer[]).slice(markerEvery))
  publisher.data.written = 0
}
const startedAt = performance.now()
for (const publisher of publishers) flush(publisher)
await everybodyHas(1 + Math.floor(input.updates / markerEvery))
const seconds = (performance.now() - startedAt) / 1000
const result: FanOutResult = { deliveriesPerSecond: (input.updates * sockets.length) / seconds, seconds }
console.log(JSON.stringify(result))
process.exit(0)
