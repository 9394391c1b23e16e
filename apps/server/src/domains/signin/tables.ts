import { pgTable, text } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'
import { clients } from '../sessions/tables.ts'

export const signIns = pgTable('sign_ins', {
  id: text('id').primaryKey(),
  instanceId: instanceId(),
  /** The browser that began it is the only one that can go on with it. */
  clientId: text('client_id')
    .notNull()
    .references(() => clients.id, { onDelete: 'cascade' }),
  status: text('status', {
    enum: ['needs_identifier', 'needs_first_factor', 'needs_new_password', 'complete', 'abandoned'],
  }).notNull(),
  identifier: text('identifier'),
  /** Null while no account has the identifier. */
  userId: text('user_id'),
  firstFactorStrategy: text('first_factor_strategy', {
    enum: ['password', 'email_code', 'reset_password_email_code', 'ticket'],
  }),
  firstFactorVerifiedAt: instant('first_factor_verified_at'),
  emailAddressId: text('email_address_id'),
  createdSessionId: text('created_session_id'),
  createdAt: instant('created_at').notNull(),
  abandonAt: instant('abandon_at').notNull(),
})
