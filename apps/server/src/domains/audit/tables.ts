import { bigint, index, pgTable, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'

/** Who or what an entry speaks of. The name is as it was then: what it names may be gone. */
export type AuditObject = { type: string; id: string; name?: string }
export type AuditActor = AuditObject & { impersonator?: string }
/** From where it was done, as far as a request did it. */
export type AuditContext = { ip?: string; user_agent?: string }

/**
 * What happened, kept as it was. Each organization has a chain of its own, and so has the instance for what belongs to
 * no organization: entry after entry, each sealed together with the hash of the one before it. No foreign keys: the log
 * outlives what it tells of.
 */
export const auditEntries = pgTable(
  'audit_entries',
  {
    id: text('id').notNull(),
    instanceId: instanceId(),
    /** The organization, or the instance. */
    chain: text('chain').notNull(),
    /** Place in the chain: 1, 2, 3, … */
    place: bigint('place', { mode: 'number' }).notNull(),
    /** Position of the event in the instance's stream. */
    position: bigint('position', { mode: 'number' }).notNull(),
    /** `organizationMembership.updated` */
    action: text('action').notNull(),
    actor: json<AuditActor>('actor').notNull(),
    targets: json<AuditObject[]>('targets').notNull(),
    context: json<AuditContext>('context').notNull(),
    /** What else the event said. */
    data: json<Record<string, unknown>>('data').notNull(),
    occurredAt: instant('occurred_at').notNull(),
    /** SHA-256 in hexadecimal over all of the above and the hash before. */
    hash: text('hash').notNull(),
    previousHash: text('previous_hash').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.instanceId, t.chain, t.place] }),
    uniqueIndex('audit_entries_id').on(t.instanceId, t.id),
    index('audit_entries_action').on(t.instanceId, t.chain, t.action, t.place),
  ],
)

/** Where chains begin and end. Without it nobody would see that the first or the last entries are gone. */
export const auditChains = pgTable(
  'audit_chains',
  {
    instanceId: instanceId(),
    chain: text('chain').notNull(),
    /** The oldest place that is kept, and the hash before it: what was older went with its time. */
    firstPlace: bigint('first_place', { mode: 'number' }).notNull(),
    firstPreviousHash: text('first_previous_hash').notNull(),
    lastPlace: bigint('last_place', { mode: 'number' }).notNull(),
    lastHash: text('last_hash').notNull(),
    /** The same four, sealed: who can write to the database but does not know `USHER_SECRET` cannot make one. */
    sealed: text('sealed').notNull(),
  },
  (t) => [primaryKey({ columns: [t.instanceId, t.chain] })],
)

/** How far the logs have read the stream of an instance. */
export const auditCursors = pgTable('audit_cursors', {
  instanceId: instanceId().primaryKey(),
  position: bigint('position', { mode: 'number' }).notNull(),
  /** Entries that were ever written, of all chains: without it nobody would see that one of them is gone as a whole. */
  entries: bigint('entries', { mode: 'number' }).notNull().default(0),
  /** Both, sealed as the ends of chains are. Empty: nothing was written yet. */
  sealed: text('sealed').notNull().default(''),
})
