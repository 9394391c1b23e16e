import { bigint, boolean, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'
import { users } from '../users/tables.ts'

export const passwords = pgTable('passwords', {
  userId: text('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  instanceId: instanceId(),
  /** How `hash` was made: `argon2id` for our own, another name for one that was imported. */
  hasher: text('hasher').notNull().default('argon2id'),
  /** Argon2id in PHC string format, or an imported digest as its hasher writes it. */
  hash: text('hash').notNull(),
  /** An operator said that it is known to others: it signs nobody in until it is reset. */
  compromisedAt: instant('compromised_at'),
  updatedAt: instant('updated_at').notNull(),
})

/** WebAuthn credentials. */
export const passkeys = pgTable(
  'passkeys',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    /** base64url. Null while its registration is under way. */
    credentialId: text('credential_id'),
    /** COSE key, base64url. */
    publicKey: text('public_key'),
    signCount: bigint('sign_count', { mode: 'number' }).notNull().default(0),
    transports: json<string[]>('transports').notNull().default([]),
    backedUp: boolean('backed_up').notNull().default(false),
    /** Of the registration under way. */
    challenge: text('challenge'),
    challengeExpiresAt: instant('challenge_expires_at'),
    verifiedAt: instant('verified_at'),
    lastUsedAt: instant('last_used_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [uniqueIndex('passkeys_credential').on(t.instanceId, t.credentialId), index('passkeys_user').on(t.userId)],
)

/** Time-based one-time passwords (RFC 6238): one authenticator a person. */
export const totps = pgTable('totps', {
  userId: text('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  id: text('id').notNull(),
  instanceId: instanceId(),
  sealedSecret: text('sealed_secret').notNull(),
  /** Null while it was shown but no code of it was entered yet. */
  verifiedAt: instant('verified_at'),
  /** The last time step whose code was accepted: it and earlier ones are spent (RFC 6238 section 5.2). */
  lastStep: bigint('last_step', { mode: 'number' }).notNull().default(0),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
})

export const backupCodes = pgTable(
  'backup_codes',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    /** Keyed hash: a stolen table alone says nothing about the codes. */
    codeHash: text('code_hash').notNull(),
    usedAt: instant('used_at'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [index('backup_codes_user').on(t.userId)],
)
