import { sql } from 'drizzle-orm'
import {
  bigint,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'

/** A secret that signs, sealed. One that was replaced signs beside its successor until it expires. */
export type SealedSecret = { sealed: string; expiresAt: string | null }

/** Where an application wants to hear what happened. */
export const webhookEndpoints = pgTable(
  'webhook_endpoints',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    url: text('url').notNull(),
    description: text('description').notNull().default(''),
    /** `user.created`, or `user.*`. Null: everything that webhooks tell. */
    eventTypes: json<string[] | null>('event_types'),
    /** The newest first. */
    secrets: json<SealedSecret[]>('secrets').notNull(),
    /** Null: it gets deliveries. */
    disabledAt: instant('disabled_at'),
    disabledReason: text('disabled_reason', { enum: ['operator', 'failing', 'gone'] }),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [index('webhook_endpoints_instance').on(t.instanceId, t.createdAt)],
)

/**
 * How far the deliveries to an endpoint have come. Run 0 is the stream as it grows; each further run replays a part of it.
 * One node at a time works on a lane; its lease runs out if it dies.
 */
export const webhookLanes = pgTable(
  'webhook_lanes',
  {
    endpointId: text('endpoint_id').notNull(),
    run: integer('run').notNull(),
    instanceId: instanceId(),
    /** Everything up to this position is settled or stands in `webhook_deliveries` as waiting. */
    cursor: bigint('cursor', { mode: 'number' }).notNull(),
    /** Where a replay ends. */
    until: bigint('until', { mode: 'number' }),
    /** When the next waiting delivery is due. */
    retryAt: instant('retry_at'),
    /** Refusals since the last success, of whatever deliveries. */
    failures: integer('failures').notNull().default(0),
    /** Pauses since the last success: each is longer than the one before. */
    pauses: integer('pauses').notNull().default(0),
    failingSince: instant('failing_since'),
    pausedUntil: instant('paused_until'),
    leaseOwner: text('lease_owner'),
    leasedUntil: instant('leased_until'),
  },
  (t) => [
    primaryKey({ columns: [t.endpointId, t.run] }),
    foreignKey({ columns: [t.endpointId], foreignColumns: [webhookEndpoints.id] }).onDelete('cascade'),
  ],
)

/** Browsers in which the portal is open. Each came by a link that was used up. */
export const webhookPortalSessions = pgTable(
  'webhook_portal_sessions',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** SHA-256 of the cookie. */
    tokenHash: text('token_hash').notNull().unique(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    endedAt: instant('ended_at'),
  },
  (t) => [index('webhook_portal_sessions_expiry').on(t.instanceId, t.expiresAt)],
)

/** The log of deliveries, and what waits for another attempt. There are many: they refer to no endpoint that could hold them up. */
export const webhookDeliveries = pgTable(
  'webhook_deliveries',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    instanceId: instanceId(),
    endpointId: text('endpoint_id').notNull(),
    run: integer('run').notNull().default(0),
    /** Of the event. Null: a test. */
    position: bigint('position', { mode: 'number' }),
    /** The `svix-id`: the same at every attempt and every endpoint. */
    messageId: text('message_id').notNull(),
    type: text('type').notNull(),
    /** What the event is about, as long as later events of the same subject have to wait for this one. */
    subject: text('subject'),
    /** `skipped`: what it told of was gone before it could be told. */
    state: text('state', { enum: ['delivered', 'waiting', 'failed', 'skipped'] }).notNull(),
    attempts: smallint('attempts').notNull(),
    /** Null while an earlier delivery about the same subject is waiting. */
    nextAttemptAt: instant('next_attempt_at'),
    /** Of the last attempt. Null: nobody answered. */
    responseStatus: smallint('response_status'),
    /** A code, never the text of the other side. */
    error: text('error'),
    durationMs: integer('duration_ms'),
    attemptedAt: instant('attempted_at'),
    createdAt: instant('created_at').notNull().defaultNow(),
  },
  (t) => [
    uniqueIndex('webhook_deliveries_position').on(t.endpointId, t.run, t.position),
    index('webhook_deliveries_waiting').on(t.endpointId, t.run, t.subject, t.position).where(sql`state = 'waiting'`),
  ],
)
