import { boolean, integer, pgTable, text } from 'drizzle-orm/pg-core'
import { instant } from '../../database/columns.ts'

/**
 * The servers that run on this database, for people to look at. Whether another one may start is decided by the lock
 * that each of them holds, and not by these rows. Of no instance, so no instance sees them.
 */
export const nodes = pgTable('nodes', {
  id: text('id').primaryKey(),
  /** What it serves: everything, or realtime documents alone. */
  kind: text('kind', { enum: ['server', 'sync'] }).notNull(),
  host: text('host').notNull(),
  pid: integer('pid').notNull(),
  version: text('version').notNull(),
  /** Whether it talks to others. */
  redis: boolean('redis').notNull(),
  startedAt: instant('started_at').notNull().defaultNow(),
  seenAt: instant('seen_at').notNull().defaultNow(),
})
