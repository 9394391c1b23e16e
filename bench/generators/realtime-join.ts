/**
 * Sockets that open and ask for everything, over plain TCP, so many at a time. Prints how long it took until each had
 * so many bytes, or until it was open. Each `line` on stdin is a job; sockets of a job stay open until the next one.
 */
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { type Dialect, hello } from '../realtime/dialects.ts'
import { upgradeRequest } from '../support/web-socket-frames.ts'

export type JoinJob = {
  port: number
  dialect: Dialect
  /**
   * One socket each. One that says something (frames in Base64) puts it into its room and counts as joined half a second
   * later.
   */
  joins: { path: string; room: string; say?: string }[]
  atOnce: number
  /** A socket has joined when it has so many bytes; 0: when it is open. */
  bytes: number
  /** Keeps the sockets of the job before open. */
  keep?: boolean
}
export type JoinResult = { seconds: number; p50: number; p99: number; open: number }

let held: Socket[] = []
let address = 0

/** What a client does whose connection breaks: it tries again. The time goes on from the first try. */
async function join(job: JoinJob, how: JoinJob['joins'][number]): Promise<number> {
  const startedAt = performance.now()
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(job, how, startedAt)
    } catch (error) {
      if ((error as { code?: string }).code !== 'ECONNRESET' || tries === 10) throw error
      await Bun.sleep(50 * tries)
    }
  }
}

function attempt(job: JoinJob, { path, room, say }: JoinJob['joins'][number], startedAt: number): Promise<number> {
  // Callers have different addresses.
  const socket = connect({
    host: '127.0.0.1',
    port: job.port,
    localAddress: `127.0.${1 + (Math.floor(address / 200 / 40) % 200)}.${1 + (Math.floor(address++ / 40) % 200)}`,
  })
  held.push(socket)
  let isOpen = false
  let got = 0
  return new Promise((resolve, reject) => {
    const done = () => resolve(performance.now() - startedAt)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the server closed a connection after ${got} bytes`)))
    socket.on('connect', () => socket.write(upgradeRequest(path, job.port)))
    socket.on('data', (chunk: Buffer) => {
      if (!isOpen) {
        if (!chunk.subarray(0, 12).toString().endsWith('101'))
          return reject(new Error(`refused: ${chunk.subarray(0, 300)}`))
        isOpen = true
        socket.write(hello(job.dialect, room))
        if (say) {
          socket.write(Buffer.from(say, 'base64'))
          setTimeout(done, 500)
        } else if (job.bytes === 0) done()
      }
      got += chunk.length
      if (!say && job.bytes > 0 && got >= job.bytes) done()
    })
  })
}

for await (const line of createInterface({ input: process.stdin })) {
  const job: JoinJob = JSON.parse(line)
  if (!job.keep) {
    for (const socket of held) socket.removeAllListeners('close').destroy()
    held = []
    await Bun.sleep(300)
  }
  const startedAt = performance.now()
  const took: number[] = []
  let next = 0
  const work = async () => {
    for (let i = next++; i < job.joins.length; i = next++)
      took.push(await join(job, job.joins[i] as JoinJob['joins'][number]))
  }
  await Promise.all(Array.from({ length: Math.min(job.atOnce, job.joins.length) }, work))
  const sorted = took.sort((a, b) => a - b)
  const result: JoinResult = {
    seconds: (performance.now() - startedAt) / 1000,
    p50: sorted[Math.floor(sorted.length / 2)] as number,
    p99: sorted[Math.floor(sorted.length * 0.99)] as number,
    open: held.filter((socket) => !socket.destroyed).length,
  }
  console.log(JSON.stringify(result))
}
process.exit(0)
