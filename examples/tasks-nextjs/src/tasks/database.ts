import 'server-only'
import { createClient } from '@libsql/client'
import { drizzle, type LibSQLDatabase } from 'drizzle-orm/libsql'
import { migrate } from 'drizzle-orm/libsql/migrator'

// Kept on globalThis: in development this module is loaded again after every edit, the connection should not be.
const global = globalThis as { tasksDatabase?: Promise<LibSQLDatabase> }

/** The app's own database, migrated at first use. */
export function database(): Promise<LibSQLDatabase> {
  global.tasksDatabase ??= open().catch((error) => {
    global.tasksDatabase = undefined // the next request tries again
    throw error
  })
  return global.tasksDatabase
}

async function open(): Promise<LibSQLDatabase> {
  const client = createClient({
    url: process.env.TASKS_DATABASE_URL || 'file:tasks.db',
    authToken: process.env.TASKS_DATABASE_TOKEN,
  })
  const db = drizzle({ client })
  await migrate(db, { migrationsFolder: 'migrations' })
  return db
}
