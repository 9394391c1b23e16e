import { asc, count, eq, inArray, type SQL } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { permissions, rolePermissions, roles } from './tables.ts'

export type Permission = typeof permissions.$inferSelect
export type Role = typeof roles.$inferSelect
export type RoleRecord = Role & { permissions: Permission[] }

/** Roles with their permissions: two queries, however many roles. */
async function findRoles(tx: Tx, where: SQL | undefined, page?: Pagination): Promise<RoleRecord[]> {
  const query = tx.db.select().from(roles).where(where).orderBy(asc(roles.createdAt), asc(roles.key)).$dynamic()
  const rows = await (page ? query.limit(page.limit).offset(page.offset) : query)
  if (rows.length === 0) return []
  const granted = await tx.db
    .select({ roleId: rolePermissions.roleId, permission: permissions })
    .from(rolePermissions)
    .innerJoin(permissions, eq(permissions.id, rolePermissions.permissionId))
    .where(
      inArray(
        rolePermissions.roleId,
        rows.map((r) => r.id),
      ),
    )
    .orderBy(asc(permissions.key))
  return rows.map((role) => ({
    ...role,
    permissions: granted.filter((g) => g.roleId === role.id).map((g) => g.permission),
  }))
}

export async function listRoles(ctx: Ctx | Tx, page: Pagination): Promise<Page<RoleRecord>> {
  return transaction(ctx, async (tx) => {
    const [total] = await tx.db.select({ n: count() }).from(roles)
    return { data: await findRoles(tx, undefined, page), totalCount: total?.n ?? 0 }
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getRole(ctx: Ctx | Tx, id: string): Promise<RoleRecord> {
  const [role] = await transaction(ctx, (tx) => findRoles(tx, eq(roles.id, id)))
  if (!role) throw new UsherError('resource_not_found', 'There is no such role.')
  return role
}

export async function findRoleByKey(ctx: Ctx | Tx, key: string): Promise<RoleRecord | undefined> {
  const [role] = await transaction(ctx, (tx) => findRoles(tx, eq(roles.key, key)))
  return role
}

/** @throws {UsherError} `form_param_value_invalid` naming the parameter `role` */
export async function getRoleByKey(ctx: Ctx | Tx, key: unknown): Promise<RoleRecord> {
  const role = typeof key === 'string' ? await findRoleByKey(ctx, key) : undefined
  if (!role) throw new UsherError('form_param_value_invalid', 'There is no such role.', { param: 'role' })
  return role
}

/** Roles by id. */
export async function findRolesByIds(tx: Tx, ids: string[]): Promise<RoleRecord[]> {
  return ids.length === 0 ? [] : findRoles(tx, inArray(roles.id, ids))
}

export async function listPermissions(ctx: Ctx | Tx, page: Pagination): Promise<Page<Permission>> {
  return transaction(ctx, async (tx) => {
    const data = await tx.db
      .select()
      .from(permissions)
      .orderBy(asc(permissions.createdAt), asc(permissions.key))
      .limit(page.limit)
      .offset(page.offset)
    const [total] = await tx.db.select({ n: count() }).from(permissions)
    return { data, totalCount: total?.n ?? 0 }
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getPermission(ctx: Ctx | Tx, id: string): Promise<Permission> {
  const [found] = await transaction(ctx, (tx) => tx.db.select().from(permissions).where(eq(permissions.id, id)))
  if (!found) throw new UsherError('resource_not_found', 'There is no such permission.')
  return found
}
