/**
 * HTTP requests over plain TCP, each connection waiting for its answer before it asks again. Prints how many were
 * answered a second, and refuses to count anything but 200.
 */
export type HttpLoadInput = {
  port: number
  connections: number
  /** Before counting begins. */
  warmUpSeconds: number
  seconds: number
  /** Whole requests; connections take them in turns. */
  requests: string[]
}
export type HttpLoadResult = { requestsPerSecond: number; medianMs: number }

const input: HttpLoadInput = await Bun.stdin.json()
const requests = input.requests.map((request) => Buffer.from(request))
type Exchange = { request: Buffer; answer: Buffer; sentAt: number }

let counting = false
let answered = 0
const durations: number[] = []
const endOfHead = Buffer.from('\r\n\r\n')

/** Length of the whole answer, or 0 as long as that cannot be known. */
function answerLength(bytes: Buffer): number {
  const end = bytes.indexOf(endOfHead)
  if (end < 0) return 0
  const head = bytes.subarray(0, end).toString('latin1')
  if (!head.startsWith('HTTP/1.1 200')) throw new Error(`refused: ${bytes.subarray(0, 600)}`)
  const length = head.match(/\r\ncontent-length: *(\d+)/i)?.[1]
  if (length !== undefined) return end + 4 + Number(length)
  const last = bytes.indexOf('\r\n0\r\n\r\n', end)
  return last < 0 ? 0 : last + 7
}

function ask(socket: Bun.Socket<Exchange>) {
  socket.data.answer = Buffer.alloc(0)
  socket.data.sentAt = performance.now()
  socket.write(socket.data.request)
}

const handlers = {
  open: ask,
  data(socket: Bun.Socket<Exchange>, chunk: Buffer) {
    const { data } = socket
    data.answer = data.answer.length === 0 ? chunk : Buffer.concat([data.answer, chunk])
    const length = answerLength(data.answer)
    if (length === 0 || data.answer.length < length) return
    if (counting) {
      answered++
      durations.push(performance.now() - data.sentAt)
    }
    ask(socket)
  },
  close() {
    throw new Error('the server closed a connection')
  },
}

for (let i = 0; i < input.connections; i++) {
  const data = { request: requests[i % requests.length] as Buffer, answer: Buffer.alloc(0), sentAt: 0 }
  await Bun.connect<Exchange>({ hostname: '127.0.0.1', port: input.port, socket: handlers, data })
}
await Bun.sleep(input.warmUpSeconds * 1000)
counting = true
const startedAt = performance.now()
await Bun.sleep(input.seconds * 1000)
const seconds = (performance.now() - startedAt) / 1000
durations.sort((a, b) => a - b)
const result: HttpLoadResult = {
  requestsPerSecond: answered / seconds,
  medianMs: durations[Math.floor(durations.length / 2)] ?? Number.NaN,
}
console.log(JSON.stringify(result))
process.exit(0)
