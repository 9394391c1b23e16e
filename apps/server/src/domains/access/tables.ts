import { sql } from 'drizzle-orm'
import {
  type AnyPgColumn,
  boolean,
  check,
  index,
  pgTable,
  primaryKey,
  text,
  unique,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'
import { organizations } from '../organizations/tables.ts'

export const roles = pgTable(
  'roles',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** The organization that made the role for itself; null: a role of the instance. */
    organizationId: text('organization_id').references((): AnyPgColumn => organizations.id, { onDelete: 'cascade' }),
    /** `org:admin`; `org:org_…` for a role of one organization. */
    key: text('key').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    isCreatorEligible: boolean('is_creator_eligible').notNull().default(false),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    uniqueIndex('roles_key').on(t.instanceId, t.key).where(sql`organization_id is null`),
    uniqueIndex('roles_organization_key').on(t.organizationId, t.key).where(sql`organization_id is not null`),
    // An organization's own role can never be named like one that the application asks for.
    check('roles_namespace', sql`(organization_id is not null) = starts_with(key, 'org:org_')`),
  ],
)

export const permissions = pgTable(
  'permissions',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** `org:tasks:write`; system permissions begin with `org:sys_`. */
    key: text('key').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    type: text('type', { enum: ['system', 'user'] }).notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [unique('permissions_key').on(t.instanceId, t.key)],
)

export const rolePermissions = pgTable(
  'role_permissions',
  {
    instanceId: instanceId(),
    roleId: text('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'cascade' }),
    permissionId: text('permission_id')
      .notNull()
      .references(() => permissions.id, { onDelete: 'cascade' }),
  },
  (t) => [primaryKey({ columns: [t.roleId, t.permissionId] }), index('role_permissions_permission').on(t.permissionId)],
)

/** Which roles an organization chooses from. Every instance has one that is `initial`: that of all others. */
export const roleSets = pgTable(
  'role_sets',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** `role_set:default` */
    key: text('key').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    type: text('type', { enum: ['initial', 'custom'] }).notNull(),
    // Both null in the initial set: there the instance's settings name them.
    defaultRoleId: text('default_role_id').references(() => roles.id, { onDelete: 'restrict' }),
    creatorRoleId: text('creator_role_id').references(() => roles.id, { onDelete: 'restrict' }),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('role_sets_key').on(t.instanceId, t.key),
    uniqueIndex('role_sets_initial').on(t.instanceId).where(sql`type = 'initial'`),
    index('role_sets_default_role').on(t.defaultRoleId),
    index('role_sets_creator_role').on(t.creatorRoleId),
  ],
)

export const roleSetRoles = pgTable(
  'role_set_roles',
  {
    instanceId: instanceId(),
    roleSetId: text('role_set_id')
      .notNull()
      .references(() => roleSets.id, { onDelete: 'cascade' }),
    roleId: text('role_id')
      .notNull()
      .references(() => roles.id, { onDelete: 'cascade' }),
  },
  (t) => [primaryKey({ columns: [t.roleSetId, t.roleId] }), index('role_set_roles_role').on(t.roleId)],
)
