/**
 * Rooms of sockets over plain TCP in which some write on a schedule. Every update carries the
 * time at which it was written; a delivery is one update found in what one socket received, so that batching neither
 * counts twice nor hides anything.
 */
import { randomBytes } from 'node:crypto'
import { afterWelcome, type Dialect, hello, protocolOf, publish } from '../realtime/dialects.ts'
import { upgradeRequest } from '../support/web-socket-frames.ts'

export type LoadInput = {
  /** One room a target; its sockets take turns at the ports. */
  targets: { ports: number[]; path: string; room: string }[]
  dialect: Dialect
  socketsPerRoom: number
  /** Sockets that write, of each room. */
  writersPerRoom: number
  /** Of each writer. */
  messagesPerSecond: number
  seconds: number
  /** Length of the text of an update. */
  contentBytes: number
  /** This many sockets of each room stop reading once they are in. */
  deaf?: number
}
export type LoadResult = {
  written: number
  deliveries: number
  deliveriesPerSecond: number
  p50: number
  p99: number
  /** Deliveries of what was written that did not arrive within ten seconds of the end. */
  missing: number
}

type State = {
  isOpen: boolean
  isDeaf: boolean
  hasJoined: boolean
  got: number
  carry: Buffer
  room: number
  toWrite: Buffer
  written: number
}
type Socket = Bun.Socket<State>

const input: LoadInput = await Bun.stdin.json()
const { dialect } = input
const marker = Buffer.from('<~t')
/** Behind the marker: microseconds since the start, in fourteen digits. */
const digits = 14
const whole = marker.length + digits
const origin = performance.now()
/** Of latencies, in steps of 0.1 ms: a million samples must not be sorted. */
const histogram = new Uint32Array(200_000)
let counting = false
let deliveries = 0
let lastAt = 0

function scan(state: State, chunk: Buffer) {
  const bytes = state.carry.length > 0 ? Buffer.concat([state.carry, chunk]) : chunk
  const now = (performance.now() - origin) * 1000
  let at = bytes.indexOf(marker)
  let end = 0
  while (at >= 0 && at + whole <= bytes.length) {
    if (counting) {
      let time = 0
      for (let i = at + marker.length; i < at + whole; i++) time = time * 10 + (bytes[i] as number) - 48
      const slot = Math.min(histogram.length - 1, Math.max(0, Math.round((now - time) / 100)))
      histogram[slot] = (histogram[slot] as number) + 1
      deliveries++
    }
    state.got++
    end = at + whole
    at = bytes.indexOf(marker, end)
  }
  lastAt = now
  // A marker or its digits may lie across two chunks.
  const from = at >= 0 ? at : Math.max(end, bytes.length - marker.length + 1)
  state.carry = from < bytes.length ? Buffer.from(bytes.subarray(from)) : Buffer.alloc(0)
}

function flush(socket: Socket) {
  const { data } = socket
  while (data.written < data.toWrite.length) {
    const taken = socket.write(data.toWrite.subarray(data.written, data.written + 256 * 1024))
    if (taken <= 0) return
    data.written += taken
  }
}

function join(socket: Socket, chunk: Buffer) {
  const answer = afterWelcome(dialect, input.targets[socket.data.room]?.room ?? '', chunk)
  if (!answer) return
  socket.data.hasJoined = true
  socket.write(answer)
}

let broken = 0
const handlers = {
  data(socket: Socket, chunk: Buffer) {
    if (!socket.data.hasJoined) join(socket, chunk)
    if (socket.data.isOpen) return scan(socket.data, chunk)
    const end = chunk.indexOf('\r\n\r\n')
    if (!chunk.subarray(0, 12).toString().endsWith('101') || end < 0)
      throw new Error(`refused: ${chunk.subarray(0, 200)}`)
    socket.data.isOpen = true
    socket.write(hello(dialect, input.targets[socket.data.room]?.room ?? ''))
    scan(socket.data, chunk.subarray(end + 4))
  },
  drain: flush,
  close(socket: Socket) {
    if (!socket.data.isDeaf) broken++
  },
}

const rooms: Socket[][] = []
for (const [room, { ports, path }] of input.targets.entries()) {
  const sockets: Socket[] = []
  for (let i = 0; i < input.socketsPerRoom; i++) {
    const port = ports[i % ports.length] as number
    const data: State = {
      isOpen: false,
      isDeaf: false,
      hasJoined: dialect !== 'socket.io',
      got: 0,
      carry: Buffer.alloc(0),
      room,
      toWrite: Buffer.alloc(0),
      written: 0,
    }
    const socket = await Bun.connect<State>({ hostname: '127.0.0.1', port, socket: handlers, data })
    const request = upgradeRequest(path, port)
    socket.write(`${request.slice(0, -2)}${protocolOf(dialect)}\r\n`)
    sockets.push(socket)
  }
  rooms.push(sockets)
}
const all = rooms.flat()
for (const deadline = Date.now() + 20_000; all.some(({ data }) => !data.isOpen || !data.hasJoined); await Bun.sleep(5))
  if (Date.now() > deadline) throw new Error('sockets did not open')
await Bun.sleep(200)

type Writer = { socket: Socket; room: string; client: number; clock: number; counter: number; session: Buffer }
const writers: Writer[] = rooms.flatMap((sockets, room) =>
  sockets.slice(0, input.writersPerRoom).map((socket) => ({
    socket,
    room: input.targets[room]?.room ?? '',
    client: 1_000_000 + Math.floor(Math.random() * 2 ** 30),
    clock: 0,
    counter: 0,
    session: randomBytes(16),
  })),
)
const content = Buffer.alloc(Math.max(whole, input.contentBytes), 'x')
marker.copy(content)

function next(writer: Writer): Buffer {
  content.write(String(Math.round((performance.now() - origin) * 1000)).padStart(digits, '0'), marker.length)
  const bytes = publish(dialect, writer.room, content, writer)
  writer.clock += content.length
  writer.counter++
  return bytes
}

const listeners = (room: readonly Socket[]) => room.filter(({ data }) => !data.isDeaf)
/** Until every room has so many updates a socket. */
async function everybodyHas(perRoom: number, ms: number): Promise<number> {
  const lacking = () =>
    rooms.reduce(
      (sum, room) => sum + listeners(room).reduce((n, { data }) => n + Math.max(0, perRoom - data.got), 0),
      0,
    )
  for (const deadline = performance.now() + ms; performance.now() < deadline && lacking() > 0 && broken === 0; )
    await Bun.sleep(2)
  return lacking()
}

// Everybody is in their room when they have the first one of each writer; those do not count.
for (const writer of writers) writer.socket.write(next(writer))
if ((await everybodyHas(input.writersPerRoom, 20_000)) > 0) throw new Error('updates do not arrive')
for (const room of rooms) {
  for (const socket of room.slice(room.length - (input.deaf ?? 0))) {
    socket.data.isDeaf = true
    socket.pause()
  }
}
await Bun.sleep(100)
counting = true
let written = 0
const startedAt = performance.now()
// A schedule: who is late catches up, and its lateness counts.
const interval = 1000 / input.messagesPerSecond
const total = Math.round(input.seconds * input.messagesPerSecond)
const phase = writers.map((_, i) => (i / writers.length) * interval)
const sent = writers.map(() => 0)
for (;;) {
  const now = performance.now() - startedAt
  let done = true
  for (const [i, writer] of writers.entries()) {
    while ((sent[i] as number) < total && (phase[i] as number) + (sent[i] as number) * interval <= now) {
      writer.socket.write(next(writer))
      sent[i] = (sent[i] as number) + 1
      written++
    }
    if ((sent[i] as number) < total) done = false
  }
  if (done) break
  await Bun.sleep(1)
}
const missing = await everybodyHas(input.writersPerRoom + written / rooms.length, 10_000)
if (broken > 0) throw new Error(`the server closed ${broken} connections`)

function percentile(share: number): number {
  let left = deliveries * share
  for (const [slot, count] of histogram.entries()) {
    left -= count
    if (left <= 0) return slot / 10
  }
  return histogram.length / 10
}

const seconds = lastAt / 1e6 - (startedAt - origin) / 1000
const result: LoadResult = {
  written,
  deliveries,
  deliveriesPerSecond: deliveries / seconds,
  p50: percentile(0.5),
  p99: percentile(0.99),
  missing,
}
console.log(JSON.stringify(result))
process.exit(0)
