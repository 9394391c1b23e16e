import { sql } from 'drizzle-orm'
import { index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instant, json } from '../../database/columns.ts'
import type { InstanceSettings } from './settings.ts'

export const applications = pgTable('applications', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  createdAt: instant('created_at').notNull(),
})

export const instances = pgTable(
  'instances',
  {
    id: text('id').primaryKey(),
    applicationId: text('application_id')
      .notNull()
      .references(() => applications.id, { onDelete: 'cascade' }),
    environment: text('environment', { enum: ['development', 'production'] }).notNull(),
    name: text('name').notNull().unique(),
    /** Host (with port) inside the publishable key; requests are told apart by it. Null: the default of its server. */
    host: text('host').unique(),
    settings: json<Partial<InstanceSettings>>('settings').notNull().default({}),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    // The one instance that requests without a known host belong to.
    uniqueIndex('instances_default').on(sql`(host is null)`).where(sql`host is null`),
    index('instances_application').on(t.applicationId),
  ],
)

export const secretKeys = pgTable(
  'instance_secret_keys',
  {
    id: text('id').primaryKey(),
    instanceId: text('instance_id')
      .notNull()
      .references(() => instances.id, { onDelete: 'cascade' }),
    /** SHA-256 of the key: how a request finds it. */
    keyHash: text('key_hash').notNull().unique(),
    /** Sealed, because `usher keys` shows it to the operator again. */
    sealedKey: text('sealed_key').notNull(),
    createdAt: instant('created_at').notNull(),
    revokedAt: instant('revoked_at'),
  },
  (t) => [index('instance_secret_keys_instance').on(t.instanceId)],
)

export const signingKeys = pgTable(
  'instance_signing_keys',
  {
    /** The `kid` of the tokens that it signs. */
    id: text('id').primaryKey(),
    instanceId: text('instance_id')
      .notNull()
      .references(() => instances.id, { onDelete: 'cascade' }),
    algorithm: text('algorithm', { enum: ['RS256'] }).notNull(),
    /** `active` signs, `retiring` only verifies. */
    state: text('state', { enum: ['active', 'retiring'] }).notNull(),
    publicJwk: json<{ kty: string; n: string; e: string }>('public_jwk').notNull(),
    sealedPrivateKey: text('sealed_private_key').notNull(),
    createdAt: instant('created_at').notNull(),
    /** When nothing that a retiring key signed is valid any more, so that it can go. */
    retiredAt: instant('retired_at'),
  },
  (t) => [
    index('instance_signing_keys_instance').on(t.instanceId),
    uniqueIndex('instance_signing_keys_active').on(t.instanceId).where(sql`state = 'active'`),
  ],
)

/** Where applications outside the browser may be sent back to: `myapp://callback`, or a page of another site. */
export const redirectUrls = pgTable(
  'redirect_urls',
  {
    id: text('id').primaryKey(),
    instanceId: text('instance_id').notNull(),
    url: text('url').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [uniqueIndex('redirect_urls_url').on(t.instanceId, t.url)],
)

/** Domains of an instance beside its own: of satellites. The primary one is the instance's host and has no row. */
export const domains = pgTable(
  'domains',
  {
    id: text('id').primaryKey(),
    instanceId: text('instance_id').notNull(),
    name: text('name').notNull(),
    proxyUrl: text('proxy_url'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [uniqueIndex('domains_name').on(t.instanceId, t.name)],
)
