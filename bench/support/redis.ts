import { freePort, startServer, temporaryDirectory, waitForPort } from './processes.ts'

/** Where Redis is, if it is here. */
export const redisServer = [process.env.USHER_TEST_REDIS, '/usr/bin/redis-server', '/usr/bin/valkey-server'].find(
  (path) => path && Bun.which(path) !== null,
)

/** A Redis of its own on loopback and on the servers' core, which keeps nothing on disk. */
export async function startRedis(): Promise<AsyncDisposable & { url: string }> {
  const directory = temporaryDirectory()
  const port = await freePort()
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = startServer([redisServer ?? 'redis-server', ...flags, '--dir', directory.path])
  await waitForPort(port, server)
  return {
    url: `redis://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}
