import { sql } from 'drizzle-orm'
import { boolean, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'
import { users } from '../users/tables.ts'

/** One browser or device. */
export const clients = pgTable('clients', {
  id: text('id').primaryKey(),
  instanceId: instanceId(),
  lastActiveSessionId: text('last_active_session_id'),
  lastAuthenticationStrategy: text('last_authentication_strategy'),
  /** Id of the sign-in and sign-up that this client has under way. */
  signInId: text('sign_in_id'),
  signUpId: text('sign_up_id'),
  createdAt: instant('created_at').notNull(),
  /** When the set of signed-in sessions last changed; `__client_uat` shows it. */
  updatedAt: instant('updated_at').notNull(),
})

/** What a browser shows to prove which client it is. */
export const clientTokens = pgTable(
  'client_tokens',
  {
    /** SHA-256 of the cookie or of the dev browser's token. */
    tokenHash: text('token_hash').primaryKey(),
    instanceId: instanceId(),
    clientId: text('client_id').references(() => clients.id, { onDelete: 'cascade' }),
    carrier: text('carrier', { enum: ['cookie', 'dev_browser'] }).notNull(),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [index('client_tokens_client').on(t.clientId), index('client_tokens_expiry').on(t.instanceId, t.expiresAt)],
)

export const sessionStatuses = [
  'active',
  'pending',
  'ended',
  'expired',
  'removed',
  'replaced',
  'revoked',
  'abandoned',
] as const

export const sessions = pgTable(
  'sessions',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    clientId: text('client_id')
      .notNull()
      .references(() => clients.id, { onDelete: 'cascade' }),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    status: text('status', { enum: sessionStatuses }).notNull(),
    lastActiveOrganizationId: text('last_active_organization_id'),
    /** When the first and the second factor were last proven; `fva` counts from here. */
    firstFactorAt: instant('first_factor_at').notNull(),
    secondFactorAt: instant('second_factor_at'),
    actor: json<({ sub: string; iss?: string } & Record<string, unknown>) | null>('actor'),
    /** Tasks that a session has to do before it counts, beyond those that follow from settings. */
    resetPasswordRequired: boolean('reset_password_required').notNull().default(false),
    userAgent: text('user_agent'),
    ipAddress: text('ip_address'),
    lastActiveAt: instant('last_active_at').notNull(),
    expireAt: instant('expire_at').notNull(),
    abandonAt: instant('abandon_at').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    index('sessions_client').on(t.clientId),
    index('sessions_user').on(t.userId, t.createdAt),
    index('sessions_actor').on(sql`(actor ->> 'sub')`).where(sql`actor is not null`),
    index('sessions_expiry').on(t.instanceId, t.expireAt),
  ],
)

/** Browsers that a person has signed in on before: client trust and warnings of new devices look here. */
export const knownDevices = pgTable(
  'known_devices',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    clientId: text('client_id')
      .notNull()
      .references(() => clients.id, { onDelete: 'cascade' }),
    createdAt: instant('created_at').notNull(),
    lastSeenAt: instant('last_seen_at').notNull(),
  },
  (t) => [
    uniqueIndex('known_devices_client').on(t.userId, t.clientId),
    index('known_devices_of_client').on(t.clientId),
  ],
)

export const signingAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'ES256',
  'ES384',
  'ES512',
  'HS256',
  'HS384',
  'HS512',
] as const

/** Shapes of tokens for other services, made for a session on demand. */
export const jwtTemplates = pgTable(
  'jwt_templates',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** What applications ask for it by. */
    name: text('name').notNull(),
    claims: json<Record<string, unknown>>('claims').notNull(),
    /** Seconds. */
    lifetime: integer('lifetime').notNull(),
    /** Seconds by which `nbf` lies before `iat`. */
    allowedClockSkew: integer('allowed_clock_skew').notNull(),
    signingAlgorithm: text('signing_algorithm', { enum: signingAlgorithms }).notNull(),
    /** A key of the application's own: a shared secret or a private key in PEM. Null: the instance's key signs. */
    sealedSigningKey: text('sealed_signing_key'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [uniqueIndex('jwt_templates_name').on(t.instanceId, t.name)],
)
