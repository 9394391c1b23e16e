import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const tasks = sqliteTable(
  'tasks',
  {
    id: text().primaryKey(),
    /** The tenant: an organization's id or, for personal tasks, a user's. */
    ownerId: text('owner_id').notNull(),
    title: text().notNull(),
    done: integer({ mode: 'boolean' }).notNull().default(false),
    createdAt: integer('created_at', { mode: 'timestamp_ms' }).notNull(),
  },
  (t) => [index('tasks_owner').on(t.ownerId, t.createdAt)],
)

export type Task = typeof tasks.$inferSelect
