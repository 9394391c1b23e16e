import { sql } from 'drizzle-orm'
import { check, foreignKey, index, integer, pgTable, primaryKey, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'

/** A program of the application's own that proves itself to other programs of it. */
export const machines = pgTable(
  'machines',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    name: text('name').notNull(),
    /** Seconds that its tokens live, unless said otherwise. */
    defaultTokenTtl: integer('default_token_ttl').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    // What scopes refer to, so that no scope leads from one instance into another.
    unique('machines_instance').on(t.id, t.instanceId),
    index('machines_list').on(t.instanceId, t.createdAt),
  ],
)

/** What a machine proves itself with: one key that is current, and those before it until their time is over. */
export const machineSecretKeys = pgTable(
  'machine_secret_keys',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    machineId: text('machine_id').notNull(),
    /** SHA-256 of the key: how a request finds it, whichever instance it is of. */
    keyHash: text('key_hash').notNull().unique(),
    /** Sealed, because the application may ask for it again. */
    sealedKey: text('sealed_key').notNull(),
    createdAt: instant('created_at').notNull(),
    /** Null: the current one. */
    expiresAt: instant('expires_at'),
  },
  (t) => [
    // Two rotations at once must not leave two current keys.
    uniqueIndex('machine_secret_keys_current').on(t.machineId).where(sql`expires_at is null`),
    index('machine_secret_keys_machine').on(t.machineId),
    foreignKey({
      columns: [t.machineId, t.instanceId],
      foreignColumns: [machines.id, machines.instanceId],
    }).onDelete('cascade'),
  ],
)

/** Which machine may talk to which. One way: a scope back is another row. */
export const machineScopes = pgTable(
  'machine_scopes',
  {
    instanceId: instanceId(),
    fromMachineId: text('from_machine_id').notNull(),
    toMachineId: text('to_machine_id').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.fromMachineId, t.toMachineId] }),
    check('machine_scopes_other', sql`from_machine_id <> to_machine_id`),
    index('machine_scopes_to').on(t.toMachineId),
    foreignKey({
      columns: [t.fromMachineId, t.instanceId],
      foreignColumns: [machines.id, machines.instanceId],
    }).onDelete('cascade'),
    foreignKey({
      columns: [t.toMachineId, t.instanceId],
      foreignColumns: [machines.id, machines.instanceId],
    }).onDelete('cascade'),
  ],
)

/** What a machine shows to others. Whom it may show it to is asked of the scopes when somebody verifies it. */
export const m2mTokens = pgTable(
  'm2m_tokens',
  {
    /** Of a JWT its `jti`. */
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    machineId: text('machine_id').notNull(),
    format: text('format', { enum: ['opaque', 'jwt'] }).notNull(),
    /** SHA-256 of an opaque token. A JWT is known by its signature. */
    tokenHash: text('token_hash').unique(),
    /** Sealed, and only of a token that may be handed out again. */
    sealedToken: text('sealed_token'),
    claims: json<Record<string, unknown> | null>('claims'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    revokedAt: instant('revoked_at'),
    revocationReason: text('revocation_reason'),
  },
  (t) => [
    index('m2m_tokens_machine').on(t.machineId, t.createdAt),
    index('m2m_tokens_reusable')
      .on(t.machineId, t.expiresAt)
      .where(sql`sealed_token is not null and revoked_at is null`),
    index('m2m_tokens_expiry').on(t.instanceId, t.expiresAt),
    check('m2m_tokens_hash', sql`(token_hash is not null) = (format = 'opaque')`),
    foreignKey({
      columns: [t.machineId, t.instanceId],
      foreignColumns: [machines.id, machines.instanceId],
    }).onDelete('cascade'),
  ],
)
