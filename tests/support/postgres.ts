import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { temporaryDirectory } from './usher.ts'

export const postgresBin = process.env.USHER_TEST_POSTGRES_BIN ?? ''

export type Postgres = AsyncDisposable & {
  url: string
  port: number
  /** Process id of the postmaster. */
  readonly pid: number
  /** SIGKILL takes the postmaster alone, SIGQUIT is what `pg_ctl stop -m immediate` sends. Resolves when it is gone. */
  kill: (signal: 'SIGKILL' | 'SIGQUIT' | 'SIGINT') => Promise<void>
  /** Starts it again where it was. */
  launch: () => Promise<void>
  /**
   * A second one that follows this one by streaming, without this one waiting for it.
   *
   * @param through port at which it finds this one, for a line that can be held
   */
  startReplica: (through?: number) => Promise<Postgres>
}

type Options = {
  /** Where its files lie. They stay there. */
  directory?: string
  /** Bytes of a file of its log, in megabytes. */
  walSegmentMb?: number
  settings?: Record<string, string>
}

/** A PostgreSQL 15 of its own on loopback, as an operator would give it by `DATABASE_URL`. */
export async function startPostgres({ directory, walSegmentMb = 16, settings = {} }: Options = {}): Promise<Postgres> {
  const own = directory === undefined ? temporaryDirectory('usher-pg-') : undefined
  const home = directory ?? own?.path ?? ''
  const data = join(home, 'data')
  mkdirSync(data)
  chmodSync(data, 0o700)
  await runAsPostgres(
    'initdb',
    '-D',
    data,
    '-U',
    'operator',
    '--auth=trust',
    '--no-sync',
    `--wal-segsize=${walSegmentMb}`,
  )
  return await run({ data, home, settings, dispose: () => own?.[Symbol.dispose]() })
}

type Cluster = { data: string; home: string; settings: Record<string, string>; dispose: () => void }

async function run({ data, home, settings, dispose }: Cluster): Promise<Postgres> {
  const port = await freePort()
  const all = { listen_addresses: '127.0.0.1', unix_socket_directories: home, ...settings }
  const flags = [
    '-D',
    data,
    '-p',
    String(port),
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
  let server: ChildProcess
  const launch = async () => {
    const deadline = Date.now() + 20_000
    const start = () => {
      server = spawn(...command(asPostgres(['postgres', ...flags])), { stdio: 'ignore' })
    }
    start()
    const ready = () => spawnSync(join(postgresBin, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(port)]).status === 0
    while (!ready()) {
      if (Date.now() > deadline) throw new Error('PostgreSQL did not start')
      // What a killed one left behind still holds its shared memory for a moment.
      if (server.exitCode !== null) start()
      await Bun.sleep(50)
    }
  }
  const kill = async (signal: NodeJS.Signals) => {
    const gone = new Promise((resolve) =>
      server.exitCode === null && server.signalCode === null ? server.once('exit', resolve) : resolve(undefined),
    )
    server.kill(signal)
    await gone
  }
  await launch()
  return {
    url: `postgres://operator@127.0.0.1:${port}/postgres`,
    port,
    get pid() {
      return server.pid as number
    },
    kill,
    launch,
    startReplica: async (through = port) => {
      const own = temporaryDirectory('usher-pg-replica-')
      const copy = join(own.path, 'data')
      await runAsPostgres(
        'pg_basebackup',
        '-h',
        '127.0.0.1',
        '-p',
        String(through),
        '-U',
        'operator',
        '-D',
        copy,
        '-R',
        '-c',
        'fast',
        '--no-sync',
      )
      return await run({ data: copy, home: own.path, settings, dispose: () => own[Symbol.dispose]() })
    },
    [Symbol.asyncDispose]: async () => {
      await kill('SIGINT')
      dispose()
    },
  }
}

/** PostgreSQL refuses root: in a user namespace of its own it is somebody else. */
function asPostgres([program = '', ...args]: string[]): string[] {
  const wrap = process.getuid?.() === 0 ? ['unshare', '--user', '--map-user=65534', '--map-group=65534'] : []
  return [...wrap, join(postgresBin, program), ...args]
}

async function runAsPostgres(program: string, ...args: string[]): Promise<void> {
  const child = spawn(...command(asPostgres([program, ...args])), { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr?.on('data', (chunk) => {
    complaint += chunk
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  if (status !== 0) throw new Error(`${program} failed: ${complaint}`)
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
