import { sql } from 'drizzle-orm'
import {
  boolean,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  unique,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import { instanceId, instant, metadata } from '../../database/columns.ts'
import { permissions, roleSets, roles } from '../access/tables.ts'
import { users } from '../users/tables.ts'

/** Who decided: a person or the application, a verified domain, or a directory. */
const grantSource = (name: string) =>
  text(name, { enum: ['direct', 'domain', 'directory'] })
    .notNull()
    .default('direct')

export const organizations = pgTable(
  'organizations',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    name: text('name').notNull(),
    /** The name as a careless reader sees it: see `nameSkeleton`. */
    nameSkeleton: text('name_skeleton').notNull().default(''),
    slug: text('slug').notNull(),
    /** Id in the application's own records. */
    externalId: text('external_id'),
    /** Id of the stored logo; null: a drawn default. */
    imageId: text('image_id'),
    createdBy: text('created_by'),
    /** The roles it chooses from; null: the instance's initial set. */
    roleSetId: text('role_set_id').references(() => roleSets.id, { onDelete: 'restrict' }),
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
    uniqueIndex('organizations_external_id').on(t.instanceId, t.externalId),
    index('organizations_created').on(t.instanceId, t.createdAt),
    index('organizations_creator').on(t.instanceId, t.createdBy),
    index('organizations_name_skeleton').on(t.instanceId, t.nameSkeleton),
    index('organizations_role_set').on(t.roleSetId),
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
    /** The primary role: the one that tokens name. */
    roleId: text('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'restrict' }),
    /** Who decided on the primary role. */
    roleSource: grantSource('role_source'),
    publicMetadata: metadata('public_metadata'),
    privateMetadata: metadata('private_metadata'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('memberships_once').on(t.organizationId, t.userId),
    // What groups refer to, so that a group and its members are of one organization.
    unique('memberships_organization').on(t.id, t.organizationId),
    index('memberships_user').on(t.userId),
    // Members are counted wherever an organization is shown: without the instance, which row-level security compares,
    // in the index every row would be read.
    index('memberships_counted').on(t.instanceId, t.organizationId),
    index('memberships_created').on(t.organizationId, t.createdAt.desc().nullsFirst(), t.id),
    index('memberships_role').on(t.roleId),
  ],
)

/** An email domain of an organization. It counts once a mailbox in it, or a DNS record, was shown. */
export const organizationDomains = pgTable(
  'organization_domains',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    organizationId: text('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    /** Lower case, in its ASCII form. */
    name: text('name').notNull(),
    enrollmentMode: text('enrollment_mode', {
      enum: ['manual_invitation', 'automatic_invitation', 'automatic_suggestion'],
    }).notNull(),
    /** Where the last code was sent. */
    affiliationEmailAddress: text('affiliation_email_address'),
    affiliationExpiresAt: instant('affiliation_expires_at'),
    affiliationVerifiedAt: instant('affiliation_verified_at'),
    /** `admin`: on the application's word. */
    affiliationStrategy: text('affiliation_strategy', { enum: ['email_code', 'admin'] }),
    /** What the TXT record has to say; it is public once it is published. */
    ownershipRecordValue: text('ownership_record_value'),
    ownershipAttempts: integer('ownership_attempts').notNull().default(0),
    ownershipExpiresAt: instant('ownership_expires_at'),
    ownershipVerifiedAt: instant('ownership_verified_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('organization_domains_name').on(t.organizationId, t.name),
    // Whoever proves a domain first has it; a claim that is not proven blocks nobody.
    uniqueIndex('organization_domains_verified')
      .on(t.instanceId, t.name)
      .where(sql`affiliation_verified_at is not null or ownership_verified_at is not null`),
  ],
)

/** An organization that a person may ask to join, because of a domain of theirs. */
export const organizationSuggestions = pgTable(
  'organization_suggestions',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    organizationId: text('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    /** Null once the person was turned away: that outlives the domain. */
    domainId: text('domain_id').references(() => organizationDomains.id, { onDelete: 'set null' }),
    /** `withdrawn`: removed or turned down by somebody; no domain brings this person to the organization again. */
    status: text('status', { enum: ['pending', 'accepted', 'withdrawn'] }).notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('organization_suggestions_once').on(t.organizationId, t.userId),
    index('organization_suggestions_user').on(t.userId),
    index('organization_suggestions_domain').on(t.domainId),
  ],
)

/** Somebody who asks to become a member. */
export const membershipRequests = pgTable(
  'membership_requests',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    organizationId: text('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    userId: text('user_id')
      .notNull()
      .references(() => users.id, { onDelete: 'cascade' }),
    status: text('status', { enum: ['pending', 'accepted', 'rejected'] }).notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('membership_requests_open').on(t.organizationId, t.userId).where(sql`status = 'pending'`),
    index('membership_requests_organization').on(t.organizationId, t.status, t.createdAt),
    index('membership_requests_user').on(t.userId),
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
    /** The domain that brought it about; null: somebody invited this address. */
    domainId: text('domain_id').references(() => organizationDomains.id, { onDelete: 'set null' }),
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
    index('organization_invitations_domain').on(t.domainId),
    index('organization_invitations_role').on(t.roleId),
    index('organization_invitations_created').on(t.organizationId, t.createdAt.desc().nullsFirst(), t.id),
    // For counting those that are open.
    index('organization_invitations_pending')
      .on(t.instanceId, t.organizationId, t.expiresAt)
      .where(sql`status = 'pending'`),
  ],
)

/** Roles of a member beside the primary one. */
export const membershipRoles = pgTable(
  'membership_roles',
  {
    instanceId: instanceId(),
    membershipId: text('membership_id')
      .notNull()
      .references(() => memberships.id, { onDelete: 'cascade' }),
    roleId: text('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'restrict' }),
    source: grantSource('source'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.membershipId, t.roleId] }), index('membership_roles_role').on(t.roleId)],
)

/** Permissions that a member has without a role. */
export const membershipPermissions = pgTable(
  'membership_permissions',
  {
    instanceId: instanceId(),
    membershipId: text('membership_id')
      .notNull()
      .references(() => memberships.id, { onDelete: 'cascade' }),
    permissionId: text('permission_id')
      .notNull()
      .references(() => permissions.id, { onDelete: 'cascade' }),
    source: grantSource('source'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.membershipId, t.permissionId] }),
    index('membership_permissions_permission').on(t.permissionId),
  ],
)

/** Teams inside an organization. */
export const groups = pgTable(
  'groups',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    organizationId: text('organization_id')
      .notNull()
      .references(() => organizations.id, { onDelete: 'cascade' }),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    /** A directory may have two groups of one name; people may not make them. */
    source: grantSource('source'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('groups_organization').on(t.id, t.organizationId),
    uniqueIndex('groups_name').on(t.organizationId, sql`lower(name)`).where(sql`source = 'direct'`),
    index('groups_created').on(t.organizationId, t.createdAt),
  ],
)

export const groupMembers = pgTable(
  'group_members',
  {
    instanceId: instanceId(),
    groupId: text('group_id').notNull(),
    membershipId: text('membership_id').notNull(),
    organizationId: text('organization_id').notNull(),
    source: grantSource('source'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.membershipId, t.groupId] }),
    index('group_members_group').on(t.groupId, t.createdAt),
    // Both with the organization: nobody comes into a group of another one, whatever a verb forgets to ask.
    foreignKey({
      name: 'group_members_group_fk',
      columns: [t.groupId, t.organizationId],
      foreignColumns: [groups.id, groups.organizationId],
    }).onDelete('cascade'),
    foreignKey({
      name: 'group_members_membership_fk',
      columns: [t.membershipId, t.organizationId],
      foreignColumns: [memberships.id, memberships.organizationId],
    }).onDelete('cascade'),
  ],
)

export const groupRoles = pgTable(
  'group_roles',
  {
    instanceId: instanceId(),
    groupId: text('group_id')
      .notNull()
      .references(() => groups.id, { onDelete: 'cascade' }),
    roleId: text('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'restrict' }),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.groupId, t.roleId] }), index('group_roles_role').on(t.roleId)],
)
