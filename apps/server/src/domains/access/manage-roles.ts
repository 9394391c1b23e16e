import { and, eq, inArray, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { parseRoleKey } from './permission-keys.ts'
import { getPermission, getRole, type RoleRecord } from './queries.ts'
import { permissions, rolePermissions, roles } from './tables.ts'

const builtIn = ['org:admin', 'org:member']

export type RoleInput = { key: string; name: string; description?: string; permissionIds?: string[] }
type NewRole = RoleInput & {
  /** The organization that makes it for itself; undefined: a role of the instance. */
  organizationId?: string | undefined
  /** Whether organizations that have no other role set may give it. */
  inInitialRoleSet?: boolean | undefined
}

/**
 * @throws {UsherError} `form_param_format_invalid`, `form_param_value_invalid` (an unknown permission) or
 *   `duplicate_record`
 */
export async function createRole(ctx: Ctx | Tx, input: NewRole): Promise<RoleRecord> {
  const { organizationId = null } = input
  const key = parseRoleKey(input.key, organizationId !== null)
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const id = newId('role')
    const { name, description = '' } = input
    try {
      await tx.db.insert(roles).values({
        id,
        instanceId: tx.instance.id,
        organizationId,
        key,
        name,
        description,
        createdAt: now,
        updatedAt: now,
      })
    } catch (error) {
      throw keyTaken(error)
    }
    await setPermissions(tx, id, input.permissionIds ?? [])
    if (organizationId === null && (input.inInitialRoleSet ?? true)) await addToInitialRoleSet(tx, id)
    emit(tx, { type: 'role.created', subject: id, data: dataOf({ key, organizationId }) })
    return getRole(tx, id)
  })
}

/** @throws {UsherError} `resource_not_found`, `system_record_immutable` (key of a built-in role) and those of {@link createRole} */
export async function updateRole(
  ctx: Ctx | Tx,
  { id, ...change }: { id: string } & Partial<RoleInput>,
): Promise<RoleRecord> {
  return transaction(ctx, async (tx) => {
    const known = await getRole(tx, id)
    const key = change.key === undefined ? known.key : parseRoleKey(change.key, known.organizationId !== null)
    if (key !== known.key && builtIn.includes(known.key))
      throw new UsherError('system_record_immutable', 'The key of a built-in role cannot be changed.', { param: 'key' })
    if (key !== known.key) refuseNamedInSettings(tx, known)
    const { name = known.name, description = known.description } = change
    try {
      await tx.db.update(roles).set({ key, name, description, updatedAt: tx.now() }).where(eq(roles.id, id))
    } catch (error) {
      throw keyTaken(error)
    }
    if (change.permissionIds) {
      await tx.db.delete(rolePermissions).where(eq(rolePermissions.roleId, id))
      await setPermissions(tx, id, change.permissionIds)
    }
    emit(tx, { type: 'role.updated', subject: id, data: dataOf({ ...known, key }) })
    return getRole(tx, id)
  })
}

/** @throws {UsherError} `resource_not_found`, `system_record_immutable` or `role_in_use` */
export async function deleteRole(ctx: Ctx | Tx, id: string): Promise<RoleRecord> {
  const role = await getRole(ctx, id)
  if (builtIn.includes(role.key)) throw new UsherError('system_record_immutable', 'A built-in role cannot be deleted.')
  refuseNamedInSettings(ctx, role)
  try {
    await transaction(ctx, async (tx) => {
      await tx.db.delete(roles).where(eq(roles.id, id))
      emit(tx, { type: 'role.deleted', subject: id, data: dataOf(role) })
    })
  } catch (error) {
    const cause = (error as { cause?: { errno?: string } }).cause
    // A foreign key holds the role (SQLSTATE 23001 restrict, 23503 foreign key).
    if (cause?.errno !== '23503' && cause?.errno !== '23001') throw error
    throw new UsherError('role_in_use', 'Members, groups, invitations or a role set need this role. Replace it first.')
  }
  return role
}

/** @throws {UsherError} `resource_not_found` */
export async function grantPermission(
  ctx: Ctx | Tx,
  input: { roleId: string; permissionId: string },
): Promise<RoleRecord> {
  return transaction(ctx, async (tx) => {
    const role = await getRole(tx, input.roleId)
    await getPermission(tx, input.permissionId)
    await tx.db
      .insert(rolePermissions)
      .values({ instanceId: tx.instance.id, ...input })
      .onConflictDoNothing()
    emit(tx, { type: 'role.updated', subject: input.roleId, data: dataOf(role) })
    return getRole(tx, input.roleId)
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function withdrawPermission(
  ctx: Ctx | Tx,
  input: { roleId: string; permissionId: string },
): Promise<RoleRecord> {
  return transaction(ctx, async (tx) => {
    const role = await getRole(tx, input.roleId)
    await tx.db
      .delete(rolePermissions)
      .where(and(eq(rolePermissions.roleId, input.roleId), eq(rolePermissions.permissionId, input.permissionId)))
    emit(tx, { type: 'role.updated', subject: input.roleId, data: dataOf(role) })
    return getRole(tx, input.roleId)
  })
}

const dataOf = ({ key, organizationId }: { key: string; organizationId: string | null }) => ({
  key,
  ...(organizationId !== null && { organization_id: organizationId }),
})

function keyTaken(error: unknown): unknown {
  if (!isUniqueViolation(error, 'roles_key') && !isUniqueViolation(error, 'roles_organization_key')) return error
  return new UsherError('duplicate_record', 'A role with this key exists already.', { param: 'key' })
}

/** The settings name roles by key: what they name has to be there. */
function refuseNamedInSettings({ instance }: Ctx | Tx, role: RoleRecord) {
  const { creatorRole, defaultRole } = instance.settings.organizations
  if (role.organizationId === null && [creatorRole, defaultRole].includes(role.key))
    throw new UsherError('role_in_use', 'The settings give this role to new members. Name another one there first.')
}

/** Lets organizations that have no other set give the role. */
export async function addToInitialRoleSet(tx: Tx, roleId: string) {
  await tx.db.execute(sql`insert into role_set_roles (instance_id, role_set_id, role_id)
    select instance_id, id, ${roleId} from role_sets where type = 'initial'`)
}

async function setPermissions(tx: Tx, roleId: string, permissionIds: string[]) {
  if (permissionIds.length === 0) return
  const wanted = [...new Set(permissionIds)]
  const known = await tx.db.select({ id: permissions.id }).from(permissions).where(inArray(permissions.id, wanted))
  if (known.length !== wanted.length)
    throw new UsherError('form_param_value_invalid', 'There is no such permission.', { param: 'permissions' })
  await tx.db
    .insert(rolePermissions)
    .values(wanted.map((permissionId) => ({ instanceId: tx.instance.id, roleId, permissionId })))
    // Somebody else may grant one of them at the same time.
    .onConflictDoNothing()
}
