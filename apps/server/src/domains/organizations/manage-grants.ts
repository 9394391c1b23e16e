import { and, eq } from 'drizzle-orm'
import { type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { getPermissionByKey } from '../access/index.ts'
import { emit } from '../events/index.ts'
import { keepingGuardian } from './guardian.ts'
import { getMembership, type MembershipRecord } from './queries.ts'
import { requirePermission } from './require-permission.ts'
import { getGrantableRole, refuseBeyond } from './role-choice.ts'
import { lockOrganization } from './seats.ts'
import { membershipPermissions, membershipRoles, memberships } from './tables.ts'

/** Roles that one member may have beside the primary one. */
const maxRoles = 20
/** Permissions that one member may have without a role. */
const maxPermissions = 100

type Member = { organizationId: string; userId: string }

async function begin(tx: Tx, input: Member) {
  const caller = await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
  await lockOrganization(tx, input.organizationId)
  return { caller, known: await getMembership(tx, input) }
}

/** What was given or taken: the audit log would otherwise tell of a change and not of which. */
type Change = { [what in 'role_added' | 'role_removed' | 'permission_added' | 'permission_removed']?: string }

function announce(tx: Tx, { id, organizationId, userId }: MembershipRecord, role: string, change: Change) {
  const data = { organization_id: organizationId, user_id: userId, role, ...change }
  emit(tx, { type: 'organizationMembership.updated', subject: id, data })
}

/**
 * Gives a member a role beside the others. Again: nothing happens.
 *
 * @param input.primary makes it the one that tokens name; the former primary role stays as a further one
 * @throws {UsherError} `forbidden`, `resource_not_found` or `form_param_value_invalid`
 */
export async function addMemberRole(
  ctx: Ctx | Tx,
  input: Member & { role: unknown; primary?: boolean | undefined },
): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const { caller, known } = await begin(tx, input)
    await takeTurn(tx, `grants of ${known.id}`)
    const role = await getGrantableRole(tx, input.organizationId, input.role, caller)
    const isPrimary = role.id === known.roleId
    const further = input.primary && !isPrimary ? known.roleId : role.id
    if (!isPrimary) {
      // The former primary role keeps its source; one that is given now is somebody's decision.
      const source = further === role.id ? ('direct' as const) : known.roleSource
      const row = { instanceId: tx.instance.id, membershipId: known.id, roleId: further, source, createdAt: tx.now() }
      await tx.db.insert(membershipRoles).values(row).onConflictDoNothing()
      if (input.primary) await makePrimary(tx, known, role.id)
      if ((await tx.db.$count(membershipRoles, eq(membershipRoles.membershipId, known.id))) > maxRoles)
        throw new UsherError('form_param_value_invalid', `A member has ${maxRoles} further roles at most.`, {
          param: 'role',
        })
      announce(tx, known, input.primary ? role.key : known.role.key, { role_added: role.key })
    }
    return getMembership(tx, input)
  })
}

async function makePrimary(tx: Tx, { id }: MembershipRecord, roleId: string) {
  await tx.db
    .delete(membershipRoles)
    .where(and(eq(membershipRoles.membershipId, id), eq(membershipRoles.roleId, roleId)))
  await tx.db
    .update(memberships)
    .set({ roleId, roleSource: 'direct', updatedAt: tx.now() })
    .where(eq(memberships.id, id))
}

/**
 * Takes a further role away; the primary one is changed, never taken.
 *
 * @throws {UsherError} `forbidden`, `resource_not_found`, `form_param_value_invalid` (the primary role) or
 *   `organization_minimum_permissions_needed`
 */
export async function removeMemberRole(ctx: Ctx | Tx, input: Member & { role: string }): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const { known } = await begin(tx, input)
    if (known.role.key === input.role)
      throw new UsherError('form_param_value_invalid', 'The primary role is changed, not removed.', { param: 'role' })
    const held = known.grants.find((g) => g.source !== 'group' && g.role?.key === input.role)?.role
    if (!held) throw new UsherError('resource_not_found', 'This member has no such role.')
    await keepingGuardian(tx, known, () =>
      tx.db
        .delete(membershipRoles)
        .where(and(eq(membershipRoles.membershipId, known.id), eq(membershipRoles.roleId, held.id))),
    )
    announce(tx, known, known.role.key, { role_removed: held.key })
    return getMembership(tx, input)
  })
}

/**
 * Gives a member a permission without a role. Again: nothing happens.
 *
 * @param input.permission id or key
 * @throws {UsherError} `forbidden` (also for a permission that the caller does not have), `resource_not_found` or
 *   `form_param_value_invalid`
 */
export async function addMemberPermission(
  ctx: Ctx | Tx,
  input: Member & { permission: unknown },
): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const { caller, known } = await begin(tx, input)
    const permission = await getPermissionByKey(tx, input.permission)
    refuseBeyond(caller, [permission])
    await takeTurn(tx, `grants of ${known.id}`)
    const row = { instanceId: tx.instance.id, membershipId: known.id, permissionId: permission.id, createdAt: tx.now() }
    const made = await tx.db.insert(membershipPermissions).values(row).onConflictDoNothing().returning()
    if (made.length > 0) announce(tx, known, known.role.key, { permission_added: permission.key })
    if ((await tx.db.$count(membershipPermissions, eq(membershipPermissions.membershipId, known.id))) > maxPermissions)
      throw new UsherError('form_param_value_invalid', `A member has ${maxPermissions} own permissions at most.`, {
        param: 'permission',
      })
    return getMembership(tx, input)
  })
}

/** @throws {UsherError} `forbidden`, `resource_not_found` or `organization_minimum_permissions_needed` */
export async function removeMemberPermission(
  ctx: Ctx | Tx,
  input: Member & { permission: string },
): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const { known } = await begin(tx, input)
    const permission = await getPermissionByKey(tx, input.permission)
    await keepingGuardian(tx, known, async () => {
      const gone = await tx.db
        .delete(membershipPermissions)
        .where(
          and(eq(membershipPermissions.membershipId, known.id), eq(membershipPermissions.permissionId, permission.id)),
        )
        .returning({ id: membershipPermissions.permissionId })
      if (gone.length === 0) throw new UsherError('resource_not_found', 'This member has no such permission.')
    })
    announce(tx, known, known.role.key, { permission_removed: permission.key })
    return getMembership(tx, input)
  })
}
