import { sql } from 'drizzle-orm'
import { boolean, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json, metadata } from '../../database/columns.ts'
import type { ExternalProfile } from '../connections/index.ts'
import { clients } from '../sessions/tables.ts'
import type { VerifiedBy } from '../users/index.ts'
import type { VerificationError } from '../verifications/index.ts'

export const signUps = pgTable(
  'sign_ups',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** The browser that began it is the only one that can go on with it. */
    clientId: text('client_id')
      .notNull()
      .references(() => clients.id, { onDelete: 'cascade' }),
    status: text('status', { enum: ['missing_requirements', 'complete', 'abandoned'] }).notNull(),
    emailAddress: text('email_address'),
    emailVerifiedAt: instant('email_verified_at'),
    emailVerificationStrategy: text('email_verification_strategy').$type<VerifiedBy>(),
    phoneNumber: text('phone_number'),
    phoneVerifiedAt: instant('phone_verified_at'),
    username: text('username'),
    firstName: text('first_name'),
    lastName: text('last_name'),
    passwordHash: text('password_hash'),
    unsafeMetadata: metadata('unsafe_metadata'),
    /** The ticket that brought the person here; it is spent when the sign-up completes. */
    oneTimeTokenId: text('one_time_token_id'),
    /** Of the provider that brought the person here. */
    externalProfile: json<ExternalProfile | null>('external_profile'),
    externalStrategy: text('external_strategy'),
    externalVerifiedAt: instant('external_verified_at'),
    externalError: json<VerificationError | null>('external_error'),
    /** The provider's account has a user already: a sign-in can take it over (`transfer`). */
    externalTransferable: boolean('external_transferable').notNull().default(false),
    externalRedirectUrl: text('external_redirect_url'),
    redirectUrl: text('redirect_url'),
    actionCompleteRedirectUrl: text('action_complete_redirect_url'),
    externalId: text('external_id'),
    customAction: boolean('custom_action').notNull().default(false),
    publicMetadata: metadata('public_metadata'),
    locale: text('locale'),
    legalAcceptedAt: instant('legal_accepted_at'),
    createdUserId: text('created_user_id'),
    createdSessionId: text('created_session_id'),
    createdAt: instant('created_at').notNull(),
    abandonAt: instant('abandon_at').notNull(),
  },
  (t) => [index('sign_ups_client').on(t.clientId), index('sign_ups_expiry').on(t.instanceId, t.abandonAt)],
)

/** An invitation to the application (not to an organization). */
export const invitations = pgTable(
  'invitations',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    emailAddress: text('email_address').notNull(),
    status: text('status', { enum: ['pending', 'accepted', 'revoked', 'expired'] }).notNull(),
    publicMetadata: metadata('public_metadata'),
    redirectUrl: text('redirect_url'),
    notify: boolean('notify').notNull().default(true),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [uniqueIndex('invitations_open').on(t.instanceId, t.emailAddress).where(sql`status = 'pending'`)],
)

/** People who asked to be let in. */
export const waitlistEntries = pgTable(
  'waitlist_entries',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    emailAddress: text('email_address').notNull(),
    status: text('status', { enum: ['pending', 'invited', 'rejected', 'completed'] }).notNull(),
    invitationId: text('invitation_id'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('waitlist_entries_address').on(t.instanceId, t.emailAddress),
    index('waitlist_entries_pending').on(t.instanceId, t.createdAt).where(sql`status = 'pending'`),
  ],
)
