/**
 * Writers who wait for the echo of an update, which is its acknowledgement, before they write the next one. Prints
 * acknowledgements a second and how long they took.
 */
import { frame, hello } from '../realtime/dialects.ts'
import { upgradeRequest } from '../support/web-socket-frames.ts'
import { updateMessage, varUint } from '../support/yjs-updates.ts'

export type AcksInput = { port: number; paths: string[]; seconds: number }
export type AcksResult = { perSecond: number; p50: number; p99: number }

const input: AcksInput = await Bun.stdin.json()
type State = { isOpen: boolean; client: number; clock: number; sentAt: number; mark: Buffer }
type Socket = Bun.Socket<State>
const took: number[] = []
let counting = false
let stopped = false
let broken = 0

function write(socket: Socket) {
  const { data } = socket
  // The mark tells a writer's own update from those of others in the room.
  const text = `[${data.client}.${data.clock}]`.padEnd(40, 'x')
  data.mark = Buffer.from(`[${data.client}.${data.clock}]`)
  const parent = data.clock === 0 ? [4, 1, 1, 116] : [0x84, ...varUint(data.client), ...varUint(data.clock - 1)]
  const head = [1, 1, ...varUint(data.client), ...varUint(data.clock), ...parent, text.length]
  const update = Buffer.concat([Buffer.from(head), Buffer.from(text), Buffer.from([0])])
  data.clock += text.length
  data.sentAt = performance.now()
  socket.write(frame(updateMessage(update)))
}

const handlers = {
  data(socket: Socket, chunk: Buffer) {
    const { data } = socket
    if (!data.isOpen) {
      if (!chunk.subarray(0, 12).toString().endsWith('101')) throw new Error(`refused: ${chunk.subarray(0, 200)}`)
      data.isOpen = true
      socket.write(hello('y-websocket', ''))
      return
    }
    if (data.sentAt === 0 || !chunk.includes(data.mark)) return
    if (counting) took.push(performance.now() - data.sentAt)
    data.sentAt = 0
    if (!stopped) write(socket)
  },
  close() {
    if (!stopped) broken++
  },
}

const sockets: Socket[] = []
for (const path of input.paths) {
  const data: State = {
    isOpen: false,
    client: 1_000_000 + Math.floor(Math.random() * 2 ** 30),
    clock: 0,
    sentAt: 0,
    mark: Buffer.alloc(0),
  }
  const socket = await Bun.connect<State>({ hostname: '127.0.0.1', port: input.port, socket: handlers, data })
  socket.write(upgradeRequest(path, input.port))
  sockets.push(socket)
}
while (sockets.some(({ data }) => !data.isOpen)) await Bun.sleep(5)
await Bun.sleep(500)
for (const socket of sockets) write(socket)
await Bun.sleep(500)
counting = true
await Bun.sleep(input.seconds * 1000)
stopped = true
if (broken > 0) throw new Error(`the server closed ${broken} connections`)
took.sort((a, b) => a - b)
const at = (share: number) => took[Math.floor(took.length * share)] ?? Number.NaN
const result: AcksResult = { perSecond: took.length / input.seconds, p50: at(0.5), p99: at(0.99) }
console.log(JSON.stringify(result))
process.exit(0)
