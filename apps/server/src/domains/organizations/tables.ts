import { sql } from 'drizzle-orm'
import { boolean, index, integer, pgTable, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, metadata } from '../../database/columns.ts'
import { roles } from '../access/tables.ts'
import { users } from '../users/tables.ts'

export const organizations = pgTable(
  'organizations',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    name: text('name').notNull(),
    slug: text('slug').notNull(),
    /** Id of the stored logo; null: a drawn default. */
    imageId: text('image_id'),
    createdBy: text('created_by'),
    publicMetadata: metadata('public_metadata'),
    privateMetadata: metadata('private_metadata'),
    /** Members and open invitations together; 0 is unlimited. */
    maxAllowedMemberships: integer('max_allowed_memberships').notNull(),
    adminDeleteEnabled: boolean('admin_delete_enabled').notNull().default(true),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('organizations_slug').on(t.instanceId, t.slug),
    index('organizations_created').on(t.instanceId, t.createdAt),
  ],
)

export const memberships = pgTable(
  'memberships',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    organizationId: text('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    roleId: text('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'restrict' }),
    publicMetadata: metadata('public_metadata'),
    privateMetadata: metadata('private_metadata'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('memberships_once').on(t.organizationId, t.userId),
    index('memberships_user').on(t.instanceId, t.userId),
    index('memberships_role').on(t.roleId),
  ],
)

export const organizationInvitations = pgTable(
  'organization_invitations',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    organizationId: text('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    /** Lower case. */
    emailAddress: text('email_address').notNull(),
    roleId: text('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'restrict' }),
    status: text('status', { enum: ['pending', 'accepted', 'revoked', 'expired'] }).notNull(),
    inviterUserId: text('inviter_user_id'),
    redirectUrl: text('redirect_url'),
    publicMetadata: metadata('public_metadata'),
    privateMetadata: metadata('private_metadata'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [
    // The database, not a read before the write, keeps two requests from inviting one address twice.
    uniqueIndex('organization_invitations_open').on(t.organizationId, t.emailAddress).where(sql`status = 'pending'`),
    index('organization_invitations_email').on(t.instanceId, t.emailAddress),
  ],
)
