import type { Db } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { permissions, rolePermissions, roleSetRoles, roleSets, roles } from './tables.ts'

/** The permissions that the components know by name. They are part of memberships, never of tokens. */
export const systemPermissions = {
  'org:sys_profile:manage': 'Manage organization',
  'org:sys_profile:delete': 'Delete organization',
  'org:sys_memberships:read': 'Read members',
  'org:sys_memberships:manage': 'Manage members',
  'org:sys_domains:read': 'Read domains',
  'org:sys_domains:manage': 'Manage domains',
  'org:sys_billing:read': 'Read billing',
  'org:sys_billing:manage': 'Manage billing',
  'org:sys_api_keys:read': 'Read API keys',
  'org:sys_api_keys:manage': 'Manage API keys',
  'org:sys_entconns:read': 'Read enterprise connections',
  'org:sys_entconns:manage': 'Manage enterprise connections',
  'org:sys_audit_log:read': 'Read the audit log',
} as const

export type SystemPermission = keyof typeof systemPermissions

const systemRoles = [
  { key: 'org:admin', name: 'Admin', isCreatorEligible: true, permissions: Object.keys(systemPermissions) },
  {
    key: 'org:member',
    name: 'Member',
    isCreatorEligible: false,
    permissions: ['org:sys_memberships:read', 'org:sys_billing:read'],
  },
]

/** Gives a new instance the roles and permissions that every instance has. */
export async function seedAccess(db: Db, instanceId: string, now: Date): Promise<void> {
  const stamps = { instanceId, createdAt: now, updatedAt: now }
  const made = await db
    .insert(permissions)
    .values(
      Object.entries(systemPermissions).map(([key, name]) => ({
        id: newId('permission'),
        key,
        name,
        type: 'system' as const,
        ...stamps,
      })),
    )
    .returning({ id: permissions.id, key: permissions.key })
  const roleSetId = newId('roleSet')
  await db
    .insert(roleSets)
    .values({ id: roleSetId, key: 'role_set:default', name: 'Default', type: 'initial', ...stamps })
  for (const { permissions: granted, ...role } of systemRoles) {
    const roleId = newId('role')
    await db.insert(roles).values({ id: roleId, ...role, ...stamps })
    const rows = made.filter((p) => granted.includes(p.key)).map((p) => ({ instanceId, roleId, permissionId: p.id }))
    await db.insert(rolePermissions).values(rows)
    await db.insert(roleSetRoles).values({ instanceId, roleSetId, roleId })
  }
}
