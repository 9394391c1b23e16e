import { SQL } from 'bun'
import type { BunSQLDatabase } from 'drizzle-orm/bun-sql'
import { drizzle } from 'drizzle-orm/bun-sql'
import type { Config } from '../config.ts'
import { ConfigError } from '../kernel/config-error.ts'
import type { Log } from '../kernel/log.ts'
import type { Keyring } from '../kernel/secrets.ts'
import { type EmbeddedCluster, startEmbeddedCluster } from './embedded.ts'
import { migrate } from './migrate.ts'
import { watchedPool } from './watched-pool.ts'

/** What queries run on: a transaction that has its instance set, or the system's own connection. */
export type Db = Pick<
  BunSQLDatabase,
  'select' | 'selectDistinct' | 'insert' | 'update' | 'delete' | 'execute' | 'with' | '$with' | '$count'
>

export type Database = {
  kind: 'embedded' | 'postgres'
  /** Seals what rows keep but must not show, and opens it again. */
  keyring: Keyring
  /** Rows of one instance at a time, under row-level security. Only `transaction` uses it. */
  tenant: SQL
  /** The few tables that the server reads across instances (keys, events, outgoing mail, rooms). Its role can see no others. */
  system: BunSQLDatabase
  /** The driver under `system`, for statements that Drizzle cannot say. */
  systemSql: SQL
  /** Makes a further driver with the system role, e.g. one connection a writer. @param settings of PostgreSQL */
  connectSystem: (max: number, settings?: Record<string, string>) => SQL
  /** Process id of the embedded postmaster. */
  readonly postmasterPid: number | undefined
  /** Throws when the database cannot answer a trivial query. */
  ping: () => Promise<void>
  close: () => Promise<void>
}

type Options = {
  tenantConnections?: number
  systemConnections?: number
  /** A command beside a running server leaves the server's embedded database running. */
  visitor?: boolean | undefined
  log?: Log
}

/** Opens the database that the configuration names, brings its schema up to date and checks its isolation. */
export async function openDatabase(config: Config, options: Options = {}): Promise<Database> {
  const { log } = options
  const embedded = config.databaseUrl ? undefined : await startEmbeddedCluster(config.dataDir)
  const connect = connector(config.databaseUrl, embedded)
  const owner = connect({ max: 1 })
  try {
    await migrate(owner)
  } catch (error) {
    throw config.databaseUrl ? explained(error, config.databaseUrl) : error
  } finally {
    await owner.close()
  }
  const pool = (wanted: Connect) => {
    const replaced = () => log?.warn('the database no longer heard what was said on connections: they were replaced')
    // A socket of this machine ends with whoever listens to it.
    if (embedded || options.visitor) return connect(wanted)
    return watchedPool({
      open: (name) => connect({ ...wanted, name }),
      lookIn: () => connect({ max: 1 }),
      replaced,
    })
  }
  const connectSystem = (max: number, settings?: Record<string, string>) =>
    pool({ max, role: 'usher_system', ...(settings && { settings }) })
  const tenantSql = pool({ max: options.tenantConnections ?? 10, role: 'usher_app' })
  const systemSql = connectSystem(options.systemConnections ?? 4)
  await refuseBypass(tenantSql)
  return {
    kind: embedded ? 'embedded' : 'postgres',
    keyring: config.keyring,
    tenant: tenantSql,
    system: drizzle({ client: systemSql }),
    systemSql,
    connectSystem,
    get postmasterPid() {
      return embedded?.pid
    },
    ping: async () => {
      await systemSql`select 1`
    },
    close: async () => {
      await Promise.all([tenantSql.close({ timeout: 5 }), systemSql.close({ timeout: 5 })])
      if (embedded && (!options.visitor || embedded.launched)) await embedded.stop()
    },
  }
}

/** Without the URL's password: what is printed may end up in a log that many read. */
function explained(error: unknown, databaseUrl: string): unknown {
  const { code, errno, message } = error as { code?: string; errno?: string; message: string }
  const { hostname, port, pathname } = new URL(databaseUrl)
  const server = `${hostname}:${port || 5432}`
  // What PostgreSQL says of a password, a role or a database that it does not accept (SQLSTATE 28xxx, 3D000).
  if (/^(28|3D)/.test(errno ?? '')) return new ConfigError(`DATABASE_URL: ${server} answers: ${message}.`)
  if (!code?.startsWith('ERR_POSTGRES_CONNECTION')) return error
  return new ConfigError(
    `DATABASE_URL: there is no PostgreSQL at ${server} (for ${pathname.slice(1) || 'its database'}).`,
  )
}

/** @param name of the application */
type Connect = { max: number; role?: string; settings?: Record<string, string>; name?: string }

function connector(databaseUrl: string | undefined, embedded: EmbeddedCluster | undefined) {
  return ({ max, role, settings, name = 'usher' }: Connect): SQL => {
    const common = {
      adapter: 'postgres' as const,
      max,
      idleTimeout: 0,
      connectionTimeout: 10,
      connection: {
        application_name: name,
        // A transaction that a stalled node holds must not hold up the others for longer than this.
        ...(role && { role, statement_timeout: '15000', idle_in_transaction_session_timeout: '5000' }),
        ...settings,
      },
    }
    return embedded
      ? new SQL({ ...common, path: embedded.socketPath, username: embedded.username, database: embedded.database })
      : new SQL({ ...common, url: databaseUrl as string })
  }
}

/** Isolation rests on a role that row-level security binds: without it the server does not start. */
async function refuseBypass(sql: SQL) {
  const [role] = await sql`select rolsuper or rolbypassrls as bypasses from pg_roles where rolname = current_user`
  if (role?.bypasses !== false) throw new Error('the role usher_app could bypass row-level security')
}
