import { and, asc, count, desc, eq, ilike, inArray, isNull, or, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { escapeLike, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { permissions, rolePermissions, roles } from './tables.ts'

export type Permission = typeof permissions.$inferSelect
export type Role = typeof roles.$inferSelect
export type RoleRecord = Role & { permissions: Permission[] }

/** How the lists of this domain are searched and ordered. */
export type ListInput = Pagination & {
  /** The whole id, or part of the name or key. */
  query?: string | undefined
  /** `created_at`, `name` or `key`, with `-` for the last first. */
  orderBy?: string | undefined
}

type Named = { id: PgColumn; key: PgColumn; name: PgColumn; createdAt: PgColumn }

/** The condition that a search makes. */
export function matching(table: Named, query: string | undefined): SQL | undefined {
  if (!query) return undefined
  const pattern = `%${escapeLike(query)}%`
  return or(eq(table.id, query), ilike(table.name, pattern), ilike(table.key, pattern))
}

/** @throws {UsherError} `form_param_value_invalid` for an unknown order */
export function orderOf(table: Named, orderBy = 'created_at'): SQL[] {
  const [, sign, name = ''] = orderBy.match(/^([+-]?)(\w+)$/) ?? []
  const column = new Map([
    ['created_at', table.createdAt],
    ['name', table.name],
    ['key', table.key],
  ]).get(name)
  if (!column) throw new UsherError('form_param_value_invalid', 'That is no order.', { param: 'order_by' })
  return [sign === '-' ? desc(column) : asc(column), asc(table.key)]
}

/** Roles with their permissions: two queries, however many roles. */
export async function findRoles(
  tx: Tx,
  where: SQL | undefined,
  page?: Pagination & { orderBy?: string | undefined },
): Promise<RoleRecord[]> {
  const query = tx.db
    .select()
    .from(roles)
    .where(where)
    .orderBy(...orderOf(roles, page?.orderBy))
    .$dynamic()
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

/** The roles of the instance; or those that one organization made for itself. */
export async function listRoles(
  ctx: Ctx | Tx,
  { organizationId, query, ...page }: ListInput & { organizationId?: string | undefined },
): Promise<Page<RoleRecord>> {
  const whose = organizationId === undefined ? isNull(roles.organizationId) : eq(roles.organizationId, organizationId)
  return listWhere(ctx, and(whose, matching(roles, query)), page)
}

async function listWhere(ctx: Ctx | Tx, where: SQL | undefined, page: ListInput): Promise<Page<RoleRecord>> {
  return transaction(ctx, async (tx) => {
    const [total] = await tx.db.select({ n: count() }).from(roles).where(where)
    return { data: await findRoles(tx, where, page), totalCount: total?.n ?? 0 }
  })
}

/** Roles that an organization may give: those of its role set, and its own. */
const offeredTo = (organizationId: string) =>
  or(
    eq(roles.organizationId, organizationId),
    sql`${roles.id} in (select rsr.role_id from role_set_roles rsr where rsr.role_set_id = coalesce(
      (select o.role_set_id from organizations o where o.id = ${organizationId}),
      (select rs.id from role_sets rs where rs.type = 'initial')))`,
  )

/** The roles that one organization may give, a page at a time. */
export async function listOfferedRoles(
  ctx: Ctx | Tx,
  { organizationId, query, ...page }: ListInput & { organizationId: string },
): Promise<Page<RoleRecord>> {
  return listWhere(ctx, and(offeredTo(organizationId), matching(roles, query)), page)
}

/** @throws {UsherError} `form_param_value_invalid` naming the parameter `role`; also for roles of other organizations */
export async function getOfferedRole(
  ctx: Ctx | Tx,
  { organizationId, key }: { organizationId: string; key: unknown },
): Promise<RoleRecord> {
  const find = (tx: Tx) => findRoles(tx, and(eq(roles.key, String(key)), offeredTo(organizationId)))
  const [role] = typeof key === 'string' ? await transaction(ctx, find) : []
  if (!role) throw new UsherError('form_param_value_invalid', 'There is no such role.', { param: 'role' })
  return role
}

/** @throws {UsherError} `resource_not_found` */
export async function getRole(ctx: Ctx | Tx, id: string): Promise<RoleRecord> {
  const [role] = await transaction(ctx, (tx) => findRoles(tx, eq(roles.id, id)))
  if (!role) throw new UsherError('resource_not_found', 'There is no such role.')
  return role
}

/** A role of the instance. */
export async function findRoleByKey(ctx: Ctx | Tx, key: string): Promise<RoleRecord | undefined> {
  const [role] = await transaction(ctx, (tx) => findRoles(tx, and(eq(roles.key, key), isNull(roles.organizationId))))
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

/** Permissions of the instance, those of the system among them. @throws {UsherError} `form_param_value_invalid` (the order) */
export async function listPermissions(ctx: Ctx | Tx, page: ListInput): Promise<Page<Permission>> {
  const where = matching(permissions, page.query)
  return transaction(ctx, async (tx) => {
    const data = await tx.db
      .select()
      .from(permissions)
      .where(where)
      .orderBy(...orderOf(permissions, page.orderBy))
      .limit(page.limit)
      .offset(page.offset)
    const [total] = await tx.db.select({ n: count() }).from(permissions).where(where)
    return { data, totalCount: total?.n ?? 0 }
  })
}

/** By id or key. @throws {UsherError} `form_param_value_invalid` naming the parameter `permission` */
export async function getPermissionByKey(ctx: Ctx | Tx, idOrKey: unknown): Promise<Permission> {
  const column = typeof idOrKey === 'string' && idOrKey.startsWith('perm_') ? permissions.id : permissions.key
  const find = (tx: Tx) =>
    tx.db
      .select()
      .from(permissions)
      .where(eq(column, String(idOrKey)))
  const [found] = typeof idOrKey === 'string' ? await transaction(ctx, find) : []
  if (!found) throw new UsherError('form_param_value_invalid', 'There is no such permission.', { param: 'permission' })
  return found
}

/** @throws {UsherError} `resource_not_found` */
export async function getPermission(ctx: Ctx | Tx, id: string): Promise<Permission> {
  const [found] = await transaction(ctx, (tx) => tx.db.select().from(permissions).where(eq(permissions.id, id)))
  if (!found) throw new UsherError('resource_not_found', 'There is no such permission.')
  return found
}
