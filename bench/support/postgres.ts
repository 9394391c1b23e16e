import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, startServer, temporaryDirectory, waitForPort } from './processes.ts'

/**
 * Another PostgreSQL than the embedded one, on loopback and on the servers' core, with its own defaults.
 *
 * @param bin directory of its programs
 */
export async function startPostgres(bin: string): Promise<AsyncDisposable & { url: string; version: string }> {
  const directory = temporaryDirectory()
  const data = join(directory.path, 'data')
  mkdirSync(data)
  chmodSync(data, 0o700)
  // It refuses root: in a user namespace of its own root is somebody else.
  const wrap = process.getuid?.() === 0 ? ['unshare', '--user', '--map-user=65534', '--map-group=65534'] : []
  const [program = '', ...args] = [...wrap, join(bin, 'initdb'), '-D', data, '-U', 'operator', '--auth=trust']
  const made = spawnSync(program, [...args, '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`)
  const port = await freePort()
  const sockets = ['-c', 'listen_addresses=127.0.0.1', '-c', `unix_socket_directories=${directory.path}`]
  const server = startServer([...wrap, join(bin, 'postgres'), '-D', data, '-p', String(port), ...sockets])
  await waitForPort(port, server)
  // It accepts connections a little before it answers them.
  const isReady = () => spawnSync(join(bin, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(port)]).status === 0
  for (const deadline = performance.now() + 10_000; !isReady() && performance.now() < deadline; ) await Bun.sleep(50)
  const version = spawnSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' }).stdout.match(/\d+/)?.[0] ?? ''
  return {
    url: `postgres://operator@127.0.0.1:${port}/postgres`,
    version,
    [Symbol.asyncDispose]: async () => {
      // Waits for nobody who is still connected.
      server.child.kill('SIGINT')
      await server[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}
