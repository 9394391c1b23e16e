import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { temporaryDirectory } from './usher.ts'

export const postgresBin = process.env.USHER_TEST_POSTGRES_BIN ?? ''

/** A PostgreSQL 15 of its own on loopback, as an operator would give it by `DATABASE_URL`. */
export async function startPostgres(): Promise<AsyncDisposable & { url: string }> {
  const directory = temporaryDirectory('usher-pg-')
  const data = join(directory.path, 'data')
  mkdirSync(data)
  chmodSync(data, 0o700)
  // PostgreSQL refuses root: in a user namespace of its own it is somebody else.
  const wrap = process.getuid?.() === 0 ? ['unshare', '--user', '--map-user=65534', '--map-group=65534'] : []
  const inited = spawnSync(
    ...command([...wrap, join(postgresBin, 'initdb'), '-D', data, '-U', 'operator', '--auth=trust', '--no-sync']),
  )
  if (inited.status !== 0) throw new Error(`initdb failed: ${inited.stderr}`)
  const port = await freePort()
  const flags = [
    '-D',
    data,
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    `unix_socket_directories=${directory.path}`,
  ]
  const server = spawn(...command([...wrap, join(postgresBin, 'postgres'), ...flags]), { stdio: 'ignore' })
  const ready = () => spawnSync(join(postgresBin, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(port)]).status === 0
  const deadline = Date.now() + 20_000
  while (!ready()) {
    if (Date.now() > deadline) throw new Error('PostgreSQL did not start')
    await Bun.sleep(50)
  }
  return {
    url: `postgres://operator@127.0.0.1:${port}/postgres`,
    [Symbol.asyncDispose]: async () => {
      server.kill('SIGINT')
      await new Promise((resolve) => (server.exitCode === null ? server.once('exit', resolve) : resolve(undefined)))
      directory[Symbol.dispose]()
    },
  }
}

const command = ([program = '', ...args]: string[]): [string, string[]] => [program, args]

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
