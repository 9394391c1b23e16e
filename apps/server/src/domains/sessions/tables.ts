import { sql } from 'drizzle-orm'
import { index, pgTable, text } from 'drizzle-orm/pg-core'
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
  (t) => [index('client_tokens_client').on(t.clientId)],
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
    actor: json<{ sub: string; iss?: string } | null>('actor'),
    userAgent: text('user_agent'),
    ipAddress: text('ip_address'),
    lastActiveAt: instant('last_active_at').notNull(),
    expireAt: instant('expire_at').notNull(),
    abandonAt: instant('abandon_at').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    index('sessions_client').on(t.clientId).where(sql`status in ('active', 'pending')`),
    index('sessions_user').on(t.instanceId, t.userId, t.createdAt),
  ],
)
