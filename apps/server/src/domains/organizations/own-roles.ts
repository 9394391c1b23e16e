import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Page } from '../../kernel/pagination.ts'
import {
  createRole,
  deleteRole,
  getPermissionByKey,
  getRole,
  type ListInput,
  listOfferedRoles,
  type RoleRecord,
  updateRole,
} from '../access/index.ts'
import { keepingGuardian } from './guardian.ts'
import { requireMember, requirePermission } from './require-permission.ts'
import { refuseBeyond } from './role-choice.ts'
import { lockOrganization } from './seats.ts'

/** The roles that an organization gives: those of its role set, and those that it made for itself. */
export async function listOrganizationRoles(
  ctx: Ctx | Tx,
  input: ListInput & { organizationId: string },
): Promise<Page<RoleRecord>> {
  return transaction(ctx, async (tx) => {
    await requireMember(tx, input.organizationId)
    return listOfferedRoles(tx, input)
  })
}

type Input = { key: string; name: string; description?: string | undefined; permissions?: unknown[] | undefined }

async function begin(tx: Tx, organizationId: string, wanted: unknown[] | undefined) {
  const caller = await requirePermission(tx, organizationId, 'org:sys_memberships:manage')
  await lockOrganization(tx, organizationId)
  const permissions = []
  for (const permission of wanted ?? []) permissions.push(await getPermissionByKey(tx, permission))
  refuseBeyond(caller, permissions)
  return { caller, permissionIds: wanted && permissions.map((p) => p.id) }
}

/**
 * Makes a role for one organization; its key gets the prefix `org:org_`.
 *
 * @param input.permissions ids or keys; a caller gives those only that they have
 * @throws {UsherError} `forbidden`, `form_param_format_invalid`, `form_param_value_invalid` or `duplicate_record`
 */
export async function createOrganizationRole(
  ctx: Ctx | Tx,
  { organizationId, permissions, description = '', ...input }: Input & { organizationId: string },
): Promise<RoleRecord> {
  return transaction(ctx, async (tx) => {
    const { permissionIds = [] } = await begin(tx, organizationId, permissions)
    return createRole(tx, { ...input, description, organizationId, permissionIds })
  })
}

/**
 * Changes a role of one organization. Who changes it has all that it allowed before, too: nobody takes from above.
 *
 * @throws {UsherError} `resource_not_found` (also for roles of the instance), `organization_minimum_permissions_needed`
 *   and those of {@link createOrganizationRole}
 */
export async function updateOrganizationRole(
  ctx: Ctx | Tx,
  { organizationId, roleId, permissions, ...change }: { organizationId: string; roleId: string } & Partial<Input>,
): Promise<RoleRecord> {
  return transaction(ctx, async (tx) => {
    const { caller, permissionIds } = await begin(tx, organizationId, permissions)
    const known = await getOwnRole(tx, organizationId, roleId)
    refuseBeyond(caller, known.permissions)
    const { key, name, description } = change
    await keepingGuardian(tx, { organizationId }, () =>
      updateRole(tx, {
        id: roleId,
        ...(key !== undefined && { key }),
        ...(name !== undefined && { name }),
        ...(description !== undefined && { description }),
        ...(permissionIds && { permissionIds }),
      }),
    )
    return getRole(tx, roleId)
  })
}

/** @throws {UsherError} `forbidden`, `resource_not_found` or `role_in_use` */
export async function deleteOrganizationRole(
  ctx: Ctx | Tx,
  { organizationId, roleId }: { organizationId: string; roleId: string },
): Promise<RoleRecord> {
  return transaction(ctx, async (tx) => {
    const { caller } = await begin(tx, organizationId, undefined)
    const known = await getOwnRole(tx, organizationId, roleId)
    refuseBeyond(caller, known.permissions)
    return deleteRole(tx, roleId)
  })
}

async function getOwnRole(tx: Tx, organizationId: string, roleId: string): Promise<RoleRecord> {
  const role = await getRole(tx, roleId)
  if (role.organizationId !== organizationId)
    throw new UsherError('resource_not_found', 'The organization made no such role.')
  return role
}
