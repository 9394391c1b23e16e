import 'server-only'
import { randomUUID } from 'node:crypto'
import { and, asc, eq, type SQL } from 'drizzle-orm'
import type { Tenant } from '@/access/current-tenant'
import { database } from './database'
import { type Task, tasks } from './tables'

/**
 * The tasks of one tenant. The only door to the table: a caller never writes a `where`, so none can forget the
 * owner, and the id of another tenant's task finds nothing.
 */
export function tasksOf(tenant: Tenant) {
  const mine = (...more: SQL[]) => and(eq(tasks.ownerId, tenant.id), ...more)

  return {
    async list(): Promise<Task[]> {
      const db = await database()
      return db.select().from(tasks).where(mine()).orderBy(asc(tasks.createdAt), asc(tasks.id))
    },

    async add(title: string): Promise<void> {
      const db = await database()
      await db.insert(tasks).values({ id: randomUUID(), ownerId: tenant.id, title, createdAt: new Date() })
    },

    async setDone(id: string, done: boolean): Promise<void> {
      const db = await database()
      await db
        .update(tasks)
        .set({ done })
        .where(mine(eq(tasks.id, id)))
    },

    async remove(id: string): Promise<void> {
      const db = await database()
      await db.delete(tasks).where(mine(eq(tasks.id, id)))
    },
  }
}
