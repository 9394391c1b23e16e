import { hostname } from 'node:os'
import type { SQL } from 'bun'
import packageJson from '../../../package.json' with { type: 'json' }
import type { Database } from '../../database/index.ts'
import { ConfigError } from '../../kernel/config-error.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import type { Log } from '../../kernel/log.ts'

/** Of PostgreSQL's advisory locks: held by each node for as long as it lives, alone or with others. */
const lockIds = { server: 39_130_010, sync: 39_130_011 }

/** How long a start waits for a node that is about to be gone: PostgreSQL takes a moment to notice a death. */
const patienceMs = 5000
const heartbeatMs = 2000
/** A row without a heartbeat is one of a node that was killed. */
const forgottenAfter = '1 minute'

export type Node = {
  id: string
  /** The same for all nodes on one database, and for no others. */
  scope: string
  /** False when another server took this one's place while the database was out of reach. */
  readonly inPlace: boolean
  /** The nodes on this database that live and talk through Redis, as of two seconds ago. */
  readonly talking: readonly string[]
  leave: () => Promise<void>
}

type NodeOptions = { kind: 'server' | 'sync'; redis: boolean; log: Log }

/**
 * Registers this process as a node. One that does not talk to others has to be the only one: what one of them knows in
 * memory the other would not hear of. That is a lock of the database's session and no row with a lease, because it ends
 * with the process that holds it, and not before.
 *
 * @throws {ConfigError} while another node lives that this one cannot talk to
 */
export async function joinNodes(database: Database, { kind, redis, log }: NodeOptions): Promise<Node> {
  const sql = database.connectSystem(1)
  const id = randomBase62(12)
  // The embedded database is stopped by the server that it belongs to: nobody else can live on it.
  const together = redis && database.kind === 'postgres'
  let talking: string[] = []
  try {
    const endsAt = Date.now() + patienceMs
    while (!(await takePlace(sql, kind, together))) {
      if (Date.now() > endsAt) throw new ConfigError(await refusal(sql, database.kind, kind, redis))
      await Bun.sleep(50)
    }
    await writeRow(sql, id, { kind, redis })
    talking = await findTalking(sql)
  } catch (error) {
    await sql.close({ timeout: 0 })
    throw error
  }
  let inPlace = true
  let beating: Promise<void> | undefined
  const beat = async () => {
    try {
      const [row] = await sql`
        select exists (select 1 from pg_locks where locktype = 'advisory' and granted and pid = pg_backend_pid()
          and objid = ${lockIds[kind]} and classid = 0) as held`
      // The connection is a new one: the database was restarted, or out of reach.
      const holds = row?.held === true || (await takePlace(sql, kind, together))
      if (!holds) log.error('another server runs on this database, and the two cannot talk to each other: stop one')
      inPlace = holds
      await writeRow(sql, id, { kind, redis })
      if (redis) talking = await findTalking(sql)
    } catch (error) {
      log.warn({ err: error }, 'this node could not say that it lives')
    }
  }
  const timer = setInterval(() => {
    beating ??= beat().finally(() => {
      beating = undefined
    })
  }, heartbeatMs)
  timer.unref()
  return {
    id,
    scope: await scopeOf(sql),
    get inPlace() {
      return inPlace
    },
    get talking() {
      return talking
    },
    leave: async () => {
      clearInterval(timer)
      await beating
      await sql`delete from nodes where id = ${id}`.catch(() => {})
      await sql.close({ timeout: 1 })
    },
  }
}

async function takePlace(sql: SQL, kind: NodeOptions['kind'], together: boolean): Promise<boolean> {
  const [row] = together
    ? await sql`select pg_try_advisory_lock_shared(${lockIds[kind]}) as held`
    : await sql`select pg_try_advisory_lock(${lockIds[kind]}) as held`
  return row?.held === true
}

async function writeRow(sql: SQL, id: string, { kind, redis }: Omit<NodeOptions, 'log'>): Promise<void> {
  await sql`
    insert into nodes (id, kind, host, pid, version, redis)
    values (${id}, ${kind}, ${hostname()}, ${process.pid}, ${packageJson.version}, ${redis})
    on conflict (id) do update set seen_at = now()`
  await sql`delete from nodes where seen_at < now() - ${forgottenAfter}::interval`
}

async function findTalking(sql: SQL): Promise<string[]> {
  const rows: { id: string }[] = await sql`
    select id from nodes where redis and seen_at > now() - ${`${3 * heartbeatMs} milliseconds`}::interval`
  return rows.map(({ id }) => id)
}

async function refusal(sql: SQL, database: Database['kind'], kind: NodeOptions['kind'], redis: boolean) {
  const rows: { host: string; pid: number; redis: boolean; since: string }[] = await sql`
    select host, pid, redis, to_char(started_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as since from nodes
    where kind = ${kind} and seen_at > now() - interval '10 seconds' order by started_at`
  const others = rows.map(
    (r) => `  - ${r.host}, process ${r.pid}, since ${r.since} UTC${r.redis ? ', with Redis' : ''}`,
  )
  const advice =
    database === 'embedded'
      ? 'An embedded database serves one server. Stop the other one, or give both a DATABASE_URL and a REDIS_URL.'
      : redis
        ? 'The other one has no REDIS_URL. Start it with the REDIS_URL that this one has, then start this one.'
        : 'Several servers on one database need a REDIS_URL, the same for all of them. Set it, or stop the other one.'
  return ['Usher cannot start: another server runs on this database.', ...others, advice].join('\n')
}

/** Two installations may share a Redis, and must not hear each other. */
async function scopeOf(sql: SQL): Promise<string> {
  const [row] = await sql`
    select (select system_identifier from pg_control_system())::text || '.' || current_database() as scope`
  return row?.scope ?? ''
}
