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
