import { bigint, index, pgTable, text } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'

/** The outbox: one row for each fact that changed, written in the transaction that changed it. */
export const events = pgTable(
  'events',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    instanceId: instanceId(),
    /** `organizationMembership.updated` */
    type: text('type').notNull(),
    /** Id of what changed. Order is kept per subject. */
    subject: text('subject').notNull(),
    /** Who did it. */
    actor: json<Record<string, unknown>>('actor').notNull(),
    data: json<Record<string, unknown>>('data').notNull(),
    /** The database's own clock: nodes poll by it. */
    createdAt: instant('created_at').notNull().defaultNow(),
  },
  (t) => [index('events_created').on(t.createdAt), index('events_subject').on(t.instanceId, t.subject, t.id)],
)
