import { freePort } from './postgres.ts'
import { temporaryDirectory } from './usher.ts'

export const redisServer = process.env.USHER_TEST_REDIS ?? ''

export type RedisProcess = AsyncDisposable & {
  url: string
  port: number
  /** SIGKILL. `start` brings it back on the same port, empty. */
  kill: () => Promise<void>
  start: () => Promise<void>
  /** SIGSTOP and SIGCONT: it holds its connections and says nothing. */
  pause: () => void
  resume: () => void
  /** One command in words, e.g. `flushall`. @returns what it answered */
  command: (...words: string[]) => Promise<string>
}

const words = (...parts: (string | Uint8Array)[]) =>
  Buffer.concat([
    Buffer.from(`*${parts.length}\r\n`),
    ...parts.flatMap((part) => [
      Buffer.from(`$${Buffer.byteLength(part)}\r\n`),
      Buffer.from(part),
      Buffer.from('\r\n'),
    ]),
  ])

export type Said = { channel: string; bytes: Buffer }

/** Somebody who can write to a Redis and read it, and is no node. */
export async function intruder(port: number) {
  const said: Said[] = []
  let waiting = Buffer.alloc(0)
  const take = () => {
    // A message of a pattern: four parts.
    const parts: Buffer[] = []
    let at = waiting.indexOf('\r\n') + 2
    if (at < 2) return false
    const count = Number(waiting.toString('latin1', 1, at - 2))
    while (parts.length < count) {
      const end = waiting.indexOf('\r\n', at)
      if (end < 0) return false
      const length = waiting[at] === 36 ? Number(waiting.toString('latin1', at + 1, end)) : -2
      if (waiting.length < end + 4 + length) return false
      parts.push(waiting.subarray(end + 2, end + 2 + Math.max(0, length)))
      at = end + 4 + length
    }
    waiting = waiting.subarray(at)
    if (parts[0]?.toString() === 'pmessage')
      said.push({ channel: String(parts[2]), bytes: Buffer.from(parts[3] as Buffer) })
    return true
  }
  const open = (data: (bytes: Buffer) => void) =>
    Bun.connect({ hostname: '127.0.0.1', port, socket: { data: (_, bytes) => data(bytes), error() {} } })
  const listening = await open((bytes) => {
    waiting = Buffer.concat([waiting, bytes])
    while (waiting.length > 0 && take());
  })
  listening.write(words('psubscribe', '*'))
  const speaking = await open(() => {})
  return {
    /** Everything that was said since. */
    said,
    say: ({ channel, bytes }: Said) => void speaking.write(words('publish', channel, bytes)),
    write: (...parts: (string | Uint8Array)[]) => void speaking.write(words(...parts)),
    [Symbol.dispose]: () => {
      listening.end()
      speaking.end()
    },
  }
}

/** A Redis of its own on loopback, which keeps nothing on disk. @param running false: it comes with `start` */
export async function startRedis({ running = true } = {}): Promise<RedisProcess> {
  const directory = temporaryDirectory('usher-redis-')
  const port = await freePort()
  let child: Bun.Subprocess | undefined
  const start = async () => {
    const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    child = Bun.spawn([redisServer, ...flags, '--dir', directory.path], { stdio: ['ignore', 'ignore', 'ignore'] })
    for (const deadline = Date.now() + 10_000; ; await Bun.sleep(20)) {
      if ((await command('ping').catch(() => '')) === '+PONG') return
      if (child.exitCode !== null || Date.now() > deadline) throw new Error('Redis did not start')
    }
  }
  const command = (...words: string[]) =>
    new Promise<string>((resolve, reject) => {
      Bun.connect({
        hostname: '127.0.0.1',
        port,
        socket: {
          open: (socket) => void socket.write(`${words.join(' ')}\r\n`),
          data: (socket, data) => {
            resolve(data.toString().trim())
            socket.end()
          },
          close: () => reject(new Error('Redis closed the connection')),
          connectError: (_, error) => reject(error),
        },
      }).catch(reject)
    })
  const kill = async () => {
    child?.kill('SIGKILL')
    await child?.exited
  }
  if (running) await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill,
    start,
    pause: () => child?.kill('SIGSTOP'),
    resume: () => child?.kill('SIGCONT'),
    command,
    [Symbol.asyncDispose]: async () => {
      child?.kill('SIGCONT')
      await kill()
      directory[Symbol.dispose]()
    },
  }
}
