/**
 * People who are in a room and do nothing, as y-websocket's client has them: each tells who it is, renews that every
 * 15 s, and sends every change that it hears of back to the server. Prints what came and went.
 */
import { type Dialect, frame, hello } from '../realtime/dialects.ts'
import { upgradeRequest } from '../support/web-socket-frames.ts'
import { varString, varUint } from '../support/yjs-updates.ts'

export type PresenceInput = {
  port: number
  path: string
  room: string
  dialect: Dialect
  clients: number
  seconds: number
}
export type PresenceResult = { received: number; sent: number; bytes: number; known: number }

const input: PresenceInput = await Bun.stdin.json()
const { dialect, room } = input
const prefix = dialect === 'hocuspocus' ? Buffer.from(varString(room)) : Buffer.alloc(0)
const renewMs = 15_000

type State = { isOpen: boolean; client: number; clock: number; carry: Buffer; clocks: Map<number, number> }
type Socket = Bun.Socket<State>
let counting = false
const count = { received: 0, sent: 0, bytes: 0 }

function say(socket: Socket, payload: Uint8Array) {
  if (counting) count.sent++
  socket.write(frame(Buffer.concat([prefix, Buffer.from([1, ...varUint(payload.length)]), payload])))
}

function renew(socket: Socket) {
  const { data } = socket
  data.clock++
  const json = `{"user":{"name":"Somebody ${data.client}","color":"#30bced"}}`
  say(socket, Uint8Array.from([1, ...varUint(data.client), ...varUint(data.clock), ...varString(json)]))
}

function readVarUint(bytes: Buffer, at: number): [number, number] {
  let value = 0
  let scale = 1
  for (let i = at; ; i++) {
    const byte = bytes[i] as number
    value += (byte & 127) * scale
    if (byte < 128) return [value, i + 1]
    scale *= 128
  }
}

/** A message of the server: changes of presence that are new are sent back, as y-protocols' listener makes it. */
function hear(socket: Socket, message: Buffer) {
  let at = 0
  if (dialect === 'hocuspocus') {
    const [length, start] = readVarUint(message, 0)
    at = start + length
  }
  if (message[at] !== 1) return
  if (counting) count.received++
  let n: number
  ;[, at] = readVarUint(message, at + 1)
  ;[n, at] = readVarUint(message, at)
  const { clocks } = socket.data
  const news: Buffer[] = []
  for (; n > 0; n--) {
    const from = at
    let client: number
    let clock: number
    let length: number
    ;[client, at] = readVarUint(message, at)
    ;[clock, at] = readVarUint(message, at)
    ;[length, at] = readVarUint(message, at)
    at += length
    if ((clocks.get(client) ?? -1) >= clock) continue
    clocks.set(client, clock)
    news.push(message.subarray(from, at))
  }
  if (news.length > 0) say(socket, Buffer.concat([Buffer.from(varUint(news.length)), ...news]))
}

function read(socket: Socket, chunk: Buffer) {
  const { data } = socket
  if (counting) count.bytes += chunk.length
  const bytes = data.carry.length > 0 ? Buffer.concat([data.carry, chunk]) : chunk
  let at = 0
  while (bytes.length - at >= 2) {
    let length = (bytes[at + 1] as number) & 127
    let head = 2
    if (length === 126) {
      if (bytes.length - at < 4) break
      length = bytes.readUInt16BE(at + 2)
      head = 4
    } else if (length === 127) {
      if (bytes.length - at < 10) break
      length = Number(bytes.readBigUInt64BE(at + 2))
      head = 10
    }
    if (bytes.length - at < head + length) break
    const message = bytes.subarray(at + head, at + head + length)
    const opcode = (bytes[at] as number) & 15
    if (opcode === 2 && length > 0) hear(socket, message)
    if (opcode === 9) socket.write(Buffer.concat([Buffer.from([0x8a, 0x80 | length, 0, 0, 0, 0]), message]))
    at += head + length
  }
  data.carry = at < bytes.length ? Buffer.from(bytes.subarray(at)) : Buffer.alloc(0)
}

let broken = 0
const handlers = {
  data(socket: Socket, chunk: Buffer) {
    if (socket.data.isOpen) return read(socket, chunk)
    const end = chunk.indexOf('\r\n\r\n')
    if (!chunk.subarray(0, 12).toString().endsWith('101')) throw new Error(`refused: ${chunk.subarray(0, 200)}`)
    socket.data.isOpen = true
    socket.write(hello(dialect, room))
    renew(socket)
    read(socket, chunk.subarray(end + 4))
  },
  close() {
    broken++
  },
}

const sockets: Socket[] = []
for (let i = 0; i < input.clients; i++) {
  const data: State = {
    isOpen: false,
    client: 5_000_000 + i * 7919,
    clock: 0,
    carry: Buffer.alloc(0),
    clocks: new Map(),
  }
  const socket = await Bun.connect<State>({ hostname: '127.0.0.1', port: input.port, socket: handlers, data })
  socket.write(upgradeRequest(input.path, input.port))
  sockets.push(socket)
  // They come one after the other, and so renew one after the other.
  if (i % 10 === 9) await Bun.sleep(10)
}
for (const [i, socket] of sockets.entries()) {
  const begin = () => {
    renew(socket)
    setInterval(() => renew(socket), renewMs)
  }
  setTimeout(begin, (i / sockets.length) * renewMs)
}
const known = () => sockets.reduce((sum, { data }) => sum + data.clocks.size, 0)
// Everybody knows of everybody, and the noise of coming is over.
for (const deadline = Date.now() + 20_000; Date.now() < deadline && known() < input.clients * (input.clients - 1); )
  await Bun.sleep(50)
await Bun.sleep(1000)
console.log('settled')
counting = true
await Bun.sleep(input.seconds * 1000)
counting = false
if (broken > 0) throw new Error(`the server closed ${broken} connections`)
const result: PresenceResult = { ...count, known: known() / input.clients }
console.log(JSON.stringify(result))
process.exit(0)
