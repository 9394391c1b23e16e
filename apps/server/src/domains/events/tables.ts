import { sql } from 'drizzle-orm'
import { bigint, boolean, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'

/** From where something was done. */
export type EventContext = { ip: string; user_agent?: string }

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
    /** The request by which it was done, if one did it. */
    context: json<EventContext>('context'),
    /** The database's own clock: nodes poll by it. */
    createdAt: instant('created_at').notNull().defaultNow(),
    /**
     * Place in the stream of its instance: 1, 2, 3, … in the order in which commits became visible, so that a reader who
     * asks for what comes after a position misses nothing. Given by `EventSequencer`; null: not yet, or never.
     */
    position: bigint('position', { mode: 'number' }),
    /** Committed, and waiting for its position. */
    pending: boolean('pending').notNull().default(false),
  },
  (t) => [
    index('events_created').on(t.createdAt),
    index('events_subject').on(t.instanceId, t.subject, t.id),
    uniqueIndex('events_position').on(t.instanceId, t.position).where(sql`position is not null`),
    index('events_pending').on(t.id).where(sql`pending`),
  ],
)

/** How far the stream of an instance has come. */
export const eventStreams = pgTable('event_streams', {
  instanceId: instanceId().primaryKey(),
  /** The last position that was given. */
  head: bigint('head', { mode: 'number' }).notNull(),
})
