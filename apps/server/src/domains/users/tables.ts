import { sql } from 'drizzle-orm'
import { boolean, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, metadata } from '../../database/columns.ts'

export const users = pgTable(
  'users',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    externalId: text('external_id'),
    username: text('username'),
    firstName: text('first_name'),
    lastName: text('last_name'),
    primaryEmailAddressId: text('primary_email_address_id'),
    publicMetadata: metadata('public_metadata'),
    privateMetadata: metadata('private_metadata'),
    unsafeMetadata: metadata('unsafe_metadata'),
    banned: boolean('banned').notNull().default(false),
    locked: boolean('locked').notNull().default(false),
    createOrganizationEnabled: boolean('create_organization_enabled').notNull().default(true),
    deleteSelfEnabled: boolean('delete_self_enabled').notNull().default(true),
    legalAcceptedAt: instant('legal_accepted_at'),
    lastSignInAt: instant('last_sign_in_at'),
    lastActiveAt: instant('last_active_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('users_username').on(t.instanceId, sql`lower(${t.username})`),
    uniqueIndex('users_external_id').on(t.instanceId, t.externalId),
    index('users_created').on(t.instanceId, t.createdAt),
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
    verifiedAt: instant('verified_at'),
    verificationStrategy: text('verification_strategy', { enum: ['email_code', 'ticket', 'admin'] }),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    // Whoever proves an address first owns it; an unproven claim blocks nobody and proves nothing.
    uniqueIndex('email_addresses_verified').on(t.instanceId, t.emailAddress).where(sql`verified_at is not null`),
    uniqueIndex('email_addresses_of_user').on(t.userId, t.emailAddress),
    index('email_addresses_address').on(t.instanceId, t.emailAddress),
  ],
)
