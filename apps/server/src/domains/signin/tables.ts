import { boolean, index, integer, pgTable, text } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'
import type { ExternalProfile } from '../connections/index.ts'
import { clients, sessions } from '../sessions/tables.ts'
import type { VerificationError } from '../verifications/index.ts'

export const signIns = pgTable(
  'sign_ins',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** The browser that began it is the only one that can go on with it. */
    clientId: text('client_id')
      .notNull()
      .references(() => clients.id, { onDelete: 'cascade' }),
    status: text('status', {
      enum: [
        'needs_identifier',
        'needs_first_factor',
        'needs_second_factor',
        'needs_client_trust',
        'needs_new_password',
        'complete',
        'abandoned',
      ],
    }).notNull(),
    identifier: text('identifier'),
    /** Null while no account has the identifier. */
    userId: text('user_id'),
    firstFactorStrategy: text('first_factor_strategy'),
    firstFactorVerifiedAt: instant('first_factor_verified_at'),
    firstFactorError: json<VerificationError | null>('first_factor_error'),
    /** The identifier was proven but has no account: a sign-up can take it over (`transfer`). */
    transferable: boolean('transferable').notNull().default(false),
    /** Id of the email address or phone number that the first factor is sent to. */
    identificationId: text('identification_id'),
    /** WebAuthn challenge of the passkey that is asked for. */
    challenge: text('challenge'),
    /** Where the provider's page is, for a social sign-in under way. */
    externalRedirectUrl: text('external_redirect_url'),
    /** What the provider said about the person, for a transfer to a sign-up. */
    externalProfile: json<ExternalProfile | null>('external_profile'),
    redirectUrl: text('redirect_url'),
    actionCompleteRedirectUrl: text('action_complete_redirect_url'),
    /** An unknown identifier is accepted, and proven before it is transferred to a sign-up. */
    signUpIfMissing: boolean('sign_up_if_missing').notNull().default(false),
    secondFactorStrategy: text('second_factor_strategy'),
    secondFactorIdentificationId: text('second_factor_identification_id'),
    secondFactorVerifiedAt: instant('second_factor_verified_at'),
    /** Guesses at the second factor of this sign-in; after five it is over. */
    secondFactorAttempts: integer('second_factor_attempts').notNull().default(0),
    /** The new password of a reset was set; a second factor may still be asked for. */
    passwordResetAt: instant('password_reset_at'),
    createdSessionId: text('created_session_id'),
    createdAt: instant('created_at').notNull(),
    abandonAt: instant('abandon_at').notNull(),
  },
  (t) => [index('sign_ins_client').on(t.clientId), index('sign_ins_expiry').on(t.instanceId, t.abandonAt)],
)

/** Re-verification of a session: a factor proven again. */
export const sessionVerifications = pgTable('session_verifications', {
  /** One at a time: a new one takes the place of the one before. */
  sessionId: text('session_id')
    .primaryKey()
    .references(() => sessions.id, { onDelete: 'cascade' }),
  id: text('id').notNull(),
  instanceId: instanceId(),
  level: text('level', { enum: ['first_factor', 'second_factor', 'multi_factor'] }).notNull(),
  status: text('status', { enum: ['needs_first_factor', 'needs_second_factor', 'complete'] }).notNull(),
  strategy: text('strategy'),
  identificationId: text('identification_id'),
  challenge: text('challenge'),
  attempts: integer('attempts').notNull().default(0),
  firstFactorVerifiedAt: instant('first_factor_verified_at'),
  secondFactorVerifiedAt: instant('second_factor_verified_at'),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
})
