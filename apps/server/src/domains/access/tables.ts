import { boolean, index, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'

export const roles = pgTable(
  'roles',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** `org:admin` */
    key: text('key').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    isCreatorEligible: boolean('is_creator_eligible').notNull().default(false),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [unique('roles_key').on(t.instanceId, t.key)],
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
