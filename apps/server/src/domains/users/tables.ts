import { sql } from 'drizzle-orm'
import { boolean, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json, metadata } from '../../database/columns.ts'

/** How an email address or phone number was proven. `admin`: on the application's word. */
export type VerifiedBy = 'email_code' | 'email_link' | 'phone_code' | 'ticket' | 'admin' | `from_oauth_${string}`

export const users = pgTable(
  'users',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    externalId: text('external_id'),
    username: text('username'),
    /**
     * The username in lower case. A column, because row-level security lets no function into an index condition that is
     * not leakproof, and `lower` is not: an index on the expression would be there and never be used.
     */
    usernameKey: text('username_key').generatedAlwaysAs(sql`lower(username)`),
    firstName: text('first_name'),
    lastName: text('last_name'),
    primaryEmailAddressId: text('primary_email_address_id'),
    primaryPhoneNumberId: text('primary_phone_number_id'),
    /** Id of the stored profile image; null: a drawn default. */
    imageId: text('image_id'),
    /** BCP 47 tag, for the language of messages. */
    locale: text('locale'),
    publicMetadata: metadata('public_metadata'),
    privateMetadata: metadata('private_metadata'),
    unsafeMetadata: metadata('unsafe_metadata'),
    banned: boolean('banned').notNull().default(false),
    locked: boolean('locked').notNull().default(false),
    /** When a lock after failed attempts ends by itself. Null: no lock, or one that an operator has to lift. */
    lockedUntil: instant('locked_until'),
    /** Failed attempts at this account's factors since the last success. */
    failedAttempts: integer('failed_attempts').notNull().default(0),
    /** Signs in on unknown devices without the emailed code that client trust asks for. */
    bypassClientTrust: boolean('bypass_client_trust').notNull().default(false),
    mfaEnabledAt: instant('mfa_enabled_at'),
    mfaDisabledAt: instant('mfa_disabled_at'),
    createOrganizationEnabled: boolean('create_organization_enabled').notNull().default(true),
    createOrganizationsLimit: integer('create_organizations_limit'),
    deleteSelfEnabled: boolean('delete_self_enabled').notNull().default(true),
    legalAcceptedAt: instant('legal_accepted_at'),
    lastSignInAt: instant('last_sign_in_at'),
    lastActiveAt: instant('last_active_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    // Without those who have none: a sign-in changes the row, and each index that has it is written.
    uniqueIndex('users_username').on(t.instanceId, t.usernameKey).where(sql`username_key is not null`),
    uniqueIndex('users_external_id').on(t.instanceId, t.externalId).where(sql`external_id is not null`),
    // For lists in both directions; those who never did come last, or first when read backwards.
    index('users_created').on(t.instanceId, t.createdAt.desc(), t.id.desc()),
    index('users_updated').on(t.instanceId, t.updatedAt.desc(), t.id.desc()),
    index('users_last_sign_in').on(t.instanceId, t.lastSignInAt.desc().nullsLast(), t.id.desc()),
    index('users_last_active').on(t.instanceId, t.lastActiveAt.desc().nullsLast(), t.id.desc()),
  ],
)

export const emailAddresses = pgTable(
  'email_addresses',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    /** Lower case. */
    emailAddress: text('email_address').notNull(),
    /** What stands behind the `@`: a column for the same reason as that of the username. */
    domain: text('domain').generatedAlwaysAs(sql`split_part(email_address, '@', 2)`),
    verifiedAt: instant('verified_at'),
    /** `email_code`, `email_link`, `ticket`, `admin`, or `from_oauth_…` when a provider vouched for it. */
    verificationStrategy: text('verification_strategy').$type<VerifiedBy>(),
    /** Kept so that nobody else takes it, but not proven by its owner. */
    reserved: boolean('reserved').notNull().default(false),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    // Whoever proves an address first owns it; an unproven claim blocks nobody and proves nothing.
    uniqueIndex('email_addresses_verified').on(t.instanceId, t.emailAddress).where(sql`verified_at is not null`),
    uniqueIndex('email_addresses_of_user').on(t.userId, t.emailAddress),
    index('email_addresses_address').on(t.instanceId, t.emailAddress),
    index('email_addresses_domain').on(t.instanceId, t.domain).where(sql`verified_at is not null`),
  ],
)

export const phoneNumbers = pgTable(
  'phone_numbers',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    /** E.164. */
    phoneNumber: text('phone_number').notNull(),
    verifiedAt: instant('verified_at'),
    verificationStrategy: text('verification_strategy').$type<VerifiedBy>(),
    reserved: boolean('reserved').notNull().default(false),
    /** Receives codes as a second factor. */
    reservedForSecondFactor: boolean('reserved_for_second_factor').notNull().default(false),
    defaultSecondFactor: boolean('default_second_factor').notNull().default(false),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('phone_numbers_verified').on(t.instanceId, t.phoneNumber).where(sql`verified_at is not null`),
    uniqueIndex('phone_numbers_of_user').on(t.userId, t.phoneNumber),
    index('phone_numbers_number').on(t.instanceId, t.phoneNumber),
  ],
)

/**
 * What people are searched by, in lower case. Triggers write it (`database/search.ts`), because a trigram index on
 * `users` itself would be written at every sign-in. No domain reads it but through the view `searchable_users`.
 */
export const userSearch = pgTable(
  'user_search',
  {
    userId: text('user_id')
      .primaryKey()
      .references(() => users.id, { onDelete: 'cascade' }),
    instanceId: instanceId(),
    /** First and last name. */
    name: text('name').notNull().default(''),
    username: text('username').notNull().default(''),
    /** One a line, as numbers are. */
    emailAddresses: text('email_addresses').notNull().default(''),
    phoneNumbers: text('phone_numbers').notNull().default(''),
    /** All of it. There is a trigram index on it where PostgreSQL has them. */
    document: text('document')
      .notNull()
      .generatedAlwaysAs(sql`name || chr(10) || username || chr(10) || email_addresses || chr(10) || phone_numbers`),
  },
  // Small, so that users are counted by it.
  (t) => [index('user_search_instance').on(t.instanceId)],
)

/** An account at a social provider that is linked to a user. Authority is (provider, provider user id) alone. */
export const externalAccounts = pgTable(
  'external_accounts',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    /** `google`, or `custom_…` for one of the application's own. */
    provider: text('provider').notNull(),
    /** `sub` of the provider; null while the linking is under way. */
    providerUserId: text('provider_user_id'),
    emailAddress: text('email_address').notNull().default(''),
    username: text('username'),
    firstName: text('first_name'),
    lastName: text('last_name'),
    imageUrl: text('image_url'),
    phoneNumber: text('phone_number'),
    approvedScopes: text('approved_scopes').notNull().default(''),
    publicMetadata: metadata('public_metadata'),
    label: text('label'),
    /** Access, refresh and ID token of the provider, sealed. */
    sealedTokens: text('sealed_tokens'),
    tokensExpireAt: instant('tokens_expire_at'),
    verifiedAt: instant('verified_at'),
    /** Why the last attempt at linking failed. */
    verificationError: json<{ code: string; message: string; long_message?: string } | null>('verification_error'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('external_accounts_provider').on(t.instanceId, t.provider, t.providerUserId),
    index('external_accounts_user').on(t.userId),
  ],
)
