import { sql } from 'drizzle-orm'
import {
  bigint,
  customType,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  unique,
  uuid,
} from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })

/**
 * One realtime room. `head` is the number of its last update; whoever holds the row's lock gives out the next ones, so
 * that their order is the order of commits.
 */
export const syncRooms = pgTable(
  'sync_rooms',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    /** An instance's id, or `standalone`: without an identity plane there is no row to refer to. */
    instanceId: instanceId(),
    /** The document id as clients write it. */
    key: text('key').notNull(),
    kind: text('kind', { enum: ['yjs', 'e2ee', 'channel'] })
      .notNull()
      .default('yjs'),
    organizationId: text('organization_id'),
    head: bigint('head', { mode: 'number' }).notNull().default(0),
    /** Number of the last update that the live snapshot contains. */
    snapshotSeq: bigint('snapshot_seq', { mode: 'number' }).notNull().default(0),
    keyEpoch: integer('key_epoch').notNull().default(0),
    /** Changes when a log is lost and begins anew, so that clients do not resume into another one. */
    incarnation: uuid('incarnation').notNull().default(sql`gen_random_uuid()`),
    /** Of encrypted rooms: hash over every entry up to `head`. */
    chain: bytea('chain'),
    /** Of encrypted rooms: what the first writer left for those who derive the key, such as a salt. Opaque. */
    keyParams: bytea('key_params'),
    createdAt: instant('created_at').notNull().defaultNow(),
    deletedAt: instant('deleted_at'),
  },
  (t) => [unique('sync_rooms_key').on(t.instanceId, t.key)],
)

/** One flush of one room: updates `lastSeq - n + 1` to `lastSeq`, packed as `segment.ts` says. */
export const syncRoomSegments = pgTable(
  'sync_room_segments',
  {
    roomId: bigint('room_id', { mode: 'number' })
      .notNull()
      .references(() => syncRooms.id, { onDelete: 'cascade' }),
    lastSeq: bigint('last_seq', { mode: 'number' }).notNull(),
    instanceId: instanceId(),
    n: integer('n').notNull(),
    at: instant('at').notNull().defaultNow(),
    /** CRC-32 of the payload. */
    crc: integer('crc').notNull(),
    codec: smallint('codec').notNull().default(1),
    /** Of encrypted rooms: hash over every entry up to `lastSeq`. */
    chain: bytea('chain'),
    payload: bytea('payload').notNull(),
  },
  (t) => [primaryKey({ columns: [t.roomId, t.lastSeq] })],
)

/**
 * The whole of a room up to `seq`, in chunks. Earlier ones are kept for a while. Those of an encrypted room are made by
 * its members: `building` while one uploads it, `bad` when another could not open it.
 */
export const syncRoomSnapshots = pgTable(
  'sync_room_snapshots',
  {
    roomId: bigint('room_id', { mode: 'number' })
      .notNull()
      .references(() => syncRooms.id, { onDelete: 'cascade' }),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    instanceId: instanceId(),
    keyEpoch: integer('key_epoch').notNull().default(0),
    state: text('state', { enum: ['building', 'live', 'old', 'bad'] }).notNull(),
    /** Length of the document, before compression. */
    bytes: integer('bytes').notNull(),
    codec: text('codec', { enum: ['plain', 'parts'] }).notNull(),
    /** SHA-256 of the document, before compression; where its parts are compressed one by one, of what is stored. */
    sha256: bytea('sha256').notNull(),
    /** Of encrypted rooms: hash over every entry up to `seq`. */
    chain: bytea('chain'),
    /** Whose what is in it: (session, counter) of an encrypted room, clocks of clients of a document. */
    senders: bytea('senders'),
    /** Who made it: a user, or a connection of somebody without one. */
    author: text('author'),
    /** When another member had loaded it. Until then nothing that it contains is deleted. */
    confirmedAt: instant('confirmed_at'),
    at: instant('at').notNull().defaultNow(),
  },
  (t) => [primaryKey({ columns: [t.roomId, t.seq] }), index('sync_room_snapshots_at').on(t.at)],
)

/** At most 256 KB of a snapshot. */
export const syncRoomSnapshotChunks = pgTable(
  'sync_room_snapshot_chunks',
  {
    roomId: bigint('room_id', { mode: 'number' })
      .notNull()
      .references(() => syncRooms.id, { onDelete: 'cascade' }),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    n: integer('n').notNull(),
    instanceId: instanceId(),
    payload: bytea('payload').notNull(),
  },
  (t) => [primaryKey({ columns: [t.roomId, t.seq, t.n] })],
)
