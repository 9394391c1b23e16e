/**
 * A client on the bare system calls, in a process of its own: it can make the kernel drop whatever arrives for its
 * socket, without the rights that a firewall needs, and it can read as slowly as it likes with a window as small as it gets.
 *
 * `bun kernel-client.ts PORT PATH RECEIVE_BUFFER CLIENT`. Words on stdin: `drop`, `trickle` (a byte a second), `read`.
 * A line of JSON on stdout for each thing that happens.
 */
import { dlopen, FFIType, ptr } from 'bun:ffi'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { readSyncMessage } from 'y-protocols/sync'
import * as Y from 'yjs'
import { emptyStep1, upgradeRequest, varUint, webSocketFrame } from './frames.ts'

const { i32, i64, u64 } = FFIType
const libc = dlopen('libc.so.6', {
  socket: { args: [i32, i32, i32], returns: i32 },
  connect: { args: [i32, FFIType.ptr, i32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, FFIType.ptr, i32], returns: i32 },
  send: { args: [i32, FFIType.ptr, u64, i32], returns: i64 },
  recv: { args: [i32, FFIType.ptr, u64, i32], returns: i64 },
}).symbols

const [inet, stream, socketLevel, receiveBuffer, attachFilter] = [2, 1, 1, 8, 26]
const [dontWait, noSignal] = [0x40, 0x4000]

const [port, path, bufferBytes, client] = process.argv.slice(2) as [string, string, string, string]
const tell = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`)
const check = (result: number | bigint, what: string) => {
  if (Number(result) < 0) throw new Error(`${what} failed`)
  return Number(result)
}

const socket = check(libc.socket(inet, stream, 0), 'socket')
const setOption = (option: number, value: Uint8Array) =>
  check(libc.setsockopt(socket, socketLevel, option, ptr(value), value.length), `option ${option}`)
const setReceiveBuffer = (bytes: number) => setOption(receiveBuffer, new Uint8Array(Int32Array.of(bytes).buffer))
if (Number(bufferBytes) > 0) setReceiveBuffer(Number(bufferBytes))
const address = Buffer.alloc(16)
address.writeUInt16LE(inet, 0)
address.writeUInt16BE(Number(port), 2)
address.set([127, 0, 0, 1], 4)
check(libc.connect(socket, ptr(address), address.length), 'connect')

/** One instruction: keep nothing of it. Segments are dropped before TCP sees them and are never acknowledged. */
function drop() {
  const program = Buffer.alloc(8)
  program.writeUInt16LE(0x06, 0)
  const filter = Buffer.alloc(16)
  filter.writeUInt16LE(1, 0)
  filter.writeBigUInt64LE(BigInt(ptr(program)), 8)
  setOption(attachFilter, filter)
}

function send(bytes: Uint8Array) {
  for (let at = 0; at < bytes.length; ) {
    const part = bytes.subarray(at)
    at += check(libc.send(socket, ptr(part), part.length, noSignal), 'send')
  }
}

const doc = new Y.Doc()
let waiting = Buffer.alloc(0)
let received = 0
let opened = false
let closed = false
const chunk = Buffer.alloc(65536)

/** @returns how many bytes there were; at most so many are taken */
function receive(most: number): number {
  if (closed) return 0
  const n = Number(libc.recv(socket, ptr(chunk), most, dontWait))
  if (n === 0) {
    closed = true
    tell({ event: 'closed' })
  }
  if (n <= 0) return 0
  received += n
  waiting = Buffer.concat([waiting, chunk.subarray(0, n)])
  return n
}

function take() {
  if (!opened) {
    const end = waiting.indexOf('\r\n\r\n')
    if (end < 0) return
    waiting = waiting.subarray(end + 4)
    opened = true
    send(webSocketFrame(emptyStep1))
    const state = Buffer.from('{"name":"Ada"}')
    const presence = [1, ...varUint(Number(client)), 1, state.length, ...state]
    send(webSocketFrame(Uint8Array.from([1, presence.length, ...presence])))
    tell({ event: 'opened' })
  }
  for (;;) {
    const short = (waiting[1] ?? 0) & 127
    const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10
    if (waiting.length < headBytes) return
    const length = short < 126 ? short : short === 126 ? waiting.readUInt16BE(2) : Number(waiting.readBigUInt64BE(2))
    if (waiting.length < headBytes + length) return
    const opcode = (waiting[0] ?? 0) & 15
    const payload = waiting.subarray(headBytes, headBytes + length)
    if (opcode === 2 && payload[0] === 0)
      readSyncMessage(decoding.createDecoder(payload.subarray(1)), encoding.createEncoder(), doc, 'server')
    waiting = waiting.subarray(headBytes + length)
  }
}

send(Buffer.from(upgradeRequest(path)))
let trickling = false
function stayAlive() {
  const pong = webSocketFrame(new Uint8Array(0), { opcode: 10 })
  // It may have been cut off by now: that is found when it is read.
  libc.send(socket, ptr(pong), pong.length, noSignal)
}
setInterval(() => {
  if (trickling) return
  // All that there is, in one turn: it is put together once.
  while (receive(chunk.length) > 0);
  take()
}, 5)
setInterval(() => {
  if (trickling) {
    receive(1)
    take()
    // Whoever answers nothing is gone after a minute: this one lives, only slowly.
    if (!closed) stayAlive()
  }
  tell({ event: 'state', received, keys: doc.getMap('m').size })
}, 1000)

for await (const line of console) {
  if (line === 'drop') drop()
  // Through the smallest window megabytes take half a minute, however fast they are read.
  if (line === 'read') setReceiveBuffer(1_000_000)
  if (line === 'trickle') setReceiveBuffer(Number(bufferBytes))
  trickling = line === 'trickle'
  tell({ event: line })
}
process.exit()
