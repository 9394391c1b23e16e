import { index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'

/** A code that was sent to somebody, and how often it was guessed. */
export const verificationCodes = pgTable(
  'verification_codes',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** What the code proves. A code of one purpose opens no other door. */
    purpose: text('purpose', {
      enum: [
        'sign_in',
        'sign_in_phone',
        'sign_in_second_factor',
        'sign_up',
        'sign_up_phone',
        'reset_password',
        'email_address',
        'phone_number',
        'reverification',
        'reverification_second_factor',
        'organization_domain',
      ],
    }).notNull(),
    /** Id of the sign-in, sign-up, email address or phone number that it belongs to. */
    subjectId: text('subject_id').notNull(),
    channel: text('channel', { enum: ['email', 'sms'] })
      .notNull()
      .default('email'),
    /** Email address or phone number that it was sent to. */
    recipient: text('recipient').notNull(),
    codeHash: text('code_hash').notNull(),
    attempts: integer('attempts').notNull().default(0),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    consumedAt: instant('consumed_at'),
  },
  (t) => [
    index('verification_codes_subject').on(t.instanceId, t.purpose, t.subjectId),
    index('verification_codes_expiry').on(t.instanceId, t.expiresAt),
  ],
)

/** How many text messages were sent in a window of time, to a range of numbers or in all. */
export const textMessageCounts = pgTable(
  'text_message_counts',
  {
    instanceId: instanceId(),
    /** `all`, or `range:` and a number without its last four digits. */
    scope: text('scope').notNull(),
    windowStart: instant('window_start').notNull(),
    sent: integer('sent').notNull(),
  },
  (t) => [primaryKey({ columns: [t.instanceId, t.scope, t.windowStart] })],
)

/** Every single-use bearer value: its kind is part of the key, and only its SHA-256 is stored. */
export const oneTimeTokens = pgTable(
  'one_time_tokens',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    kind: text('kind', {
      enum: [
        'sign_in_token',
        'actor_token',
        'organization_invitation',
        'invitation',
        'handshake',
        'email_link',
        'oauth_state',
        'demo_provider_code',
        'rotating_token_nonce',
        'refresh',
        'testing_token',
        'passkey_challenge',
        'webhook_portal',
      ],
    }).notNull(),
    tokenHash: text('token_hash').notNull().unique(),
    /** Id of what the token is for: a user, an invitation. */
    subjectId: text('subject_id').notNull(),
    payload: json<Record<string, unknown>>('payload').notNull().default({}),
    createdAt: instant('created_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
    consumedAt: instant('consumed_at'),
    revokedAt: instant('revoked_at'),
  },
  (t) => [
    index('one_time_tokens_subject').on(t.instanceId, t.kind, t.subjectId),
    index('one_time_tokens_expiry').on(t.instanceId, t.expiresAt),
  ],
)
