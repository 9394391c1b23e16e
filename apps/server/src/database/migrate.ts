import { join } from 'node:path'
import type { SQL } from 'bun'
import { drizzle } from 'drizzle-orm/bun-sql'
import { migrate as runMigrations } from 'drizzle-orm/bun-sql/migrator'
import { isolateTenants } from './row-level-security.ts'
import { prepareSearch } from './search.ts'

const migrationsFolder = join(import.meta.dir, 'migrations')

/** Any fixed number: two nodes that start at once take turns. */
const migrationLock = 3913_0001

/** Brings the schema up to date, then (re)states who may see which rows. Safe to run from several nodes at once. */
export async function migrate(owner: SQL): Promise<void> {
  await refuseOldServers(owner)
  await owner`select pg_advisory_lock(${migrationLock})`
  try {
    await owner.unsafe('set client_min_messages = warning')
    await runMigrations(drizzle({ client: owner }), { migrationsFolder })
    await isolateTenants(owner)
    await prepareSearch(owner)
  } finally {
    await owner`select pg_advisory_unlock(${migrationLock})`
  }
}

async function refuseOldServers(owner: SQL) {
  const [row] =
    await owner`select current_setting('server_version_num')::int as version, current_setting('fsync') as fsync`
  if (row.version < 150000) throw new Error(`PostgreSQL 15 or later is needed; DATABASE_URL leads to ${row.version}`)
  if (row.fsync !== 'on') throw new Error('PostgreSQL runs with fsync = off: an acknowledged write could be lost')
}
