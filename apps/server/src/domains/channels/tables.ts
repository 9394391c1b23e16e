import { sql } from 'drizzle-orm'
import { bigint, index, pgTable, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'

/**
 * One channel whose messages are kept. Whoever holds the row's lock gives out the next offsets, so that their order is
 * the order of commits.
 */
export const channels = pgTable(
  'channels',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    instanceId: instanceId(),
    name: text('name').notNull(),
    /** Offset of the last message: 1, 2, 3, … */
    head: bigint('head', { mode: 'number' }).notNull().default(0),
    /** Another one whenever the offsets begin anew, so that nobody resumes into another history. */
    epoch: uuid('epoch').notNull().default(sql`gen_random_uuid()`),
    createdAt: instant('created_at').notNull().defaultNow(),
    /** When the last message came. */
    writtenAt: instant('written_at').notNull().defaultNow(),
  },
  (t) => [unique('channels_name').on(t.instanceId, t.name), index('channels_written').on(t.instanceId, t.writtenAt)],
)

export const channelMessages = pgTable(
  'channel_messages',
  {
    channelId: bigint('channel_id', { mode: 'number' })
      .notNull()
      .references(() => channels.id, { onDelete: 'cascade' }),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    instanceId: instanceId(),
    /** Name of the event. */
    name: text('name').notNull(),
    /** JSON as it is passed on. Text: `jsonb` would change it, and refuses some of it. */
    payload: text('payload').notNull(),
    /** Who sent it; null: the application's server. No reference: the message outlives its sender. */
    userId: text('user_id'),
    /** The connection that it came from; null: a request. */
    connection: text('connection'),
    /** By which a repetition is known: of the sender's choice, or made up. */
    key: text('key').notNull(),
    /** What was sent under the key. */
    digest: text('digest').notNull(),
    at: instant('at').notNull(),
    /** Null: kept for good. */
    expiresAt: instant('expires_at'),
  },
  (t) => [
    primaryKey({ columns: [t.channelId, t.seq] }),
    unique('channel_messages_key').on(t.channelId, t.key),
    index('channel_messages_expiry').on(t.instanceId, t.expiresAt),
  ],
)

/** How far somebody has read in a channel. */
export const channelReadMarkers = pgTable(
  'channel_read_markers',
  {
    channelId: bigint('channel_id', { mode: 'number' })
      .notNull()
      .references(() => channels.id, { onDelete: 'cascade' }),
    userId: text('user_id').notNull(),
    instanceId: instanceId(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    at: instant('at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.channelId, t.userId] })],
)

/**
 * The histories that the database has been on, the newest last. Of the installation, and the same for all nodes: the
 * token of the newest one is part of every channel's epoch.
 */
export const channelHistories = pgTable('channel_histories', {
  n: bigint('n', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  /** System and timeline: another one after a replica was promoted or a backup restored. */
  line: text('line').notNull().unique(),
  token: uuid('token').notNull().default(sql`gen_random_uuid()`),
  seenAt: instant('seen_at').notNull().defaultNow(),
})
