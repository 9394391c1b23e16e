import { and, eq, type SQL } from 'drizzle-orm'
import { type Metadata, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { roles } from '../access/tables.ts'
import { emit } from '../events/index.ts'
import { getUser, mergeMetadata } from '../users/index.ts'
import { rememberSentAway, settleOffers } from './enrollment.ts'
import { guardian, keepingGuardian } from './guardian.ts'
import { getMembership, type MembershipRecord } from './queries.ts'
import { requireMember, requirePermission } from './require-permission.ts'
import { getGrantableRole } from './role-choice.ts'
import { freeSeats, lockOrganization, quotaExceeded } from './seats.ts'
import { membershipRoles, memberships } from './tables.ts'

/** The row and its event. Rules are the caller's. @throws {UsherError} `already_a_member_in_organization` */
export async function insertMembership(
  tx: Tx,
  input: {
    organizationId: string
    userId: string
    roleId: string
    roleKey: string
    /** Who decided; absent: a person or the application. */
    roleSource?: 'direct' | 'domain' | 'directory'
    publicMetadata?: Metadata
    privateMetadata?: Metadata
  },
): Promise<void> {
  const { roleKey, ...row } = input
  const now = tx.now()
  const id = newId('membership')
  try {
    await tx.db.insert(memberships).values({ id, instanceId: tx.instance.id, ...row, createdAt: now, updatedAt: now })
  } catch (error) {
    if (!isUniqueViolation(error, 'memberships_once')) throw error
    throw new UsherError('already_a_member_in_organization', 'This person is a member of the organization already.')
  }
  const data = { organization_id: input.organizationId, user_id: input.userId, role: roleKey }
  emit(tx, { type: 'organizationMembership.created', subject: id, data })
  await settleOffers(tx, input)
}

export type MembershipInput = { organizationId: string; userId: string; role: unknown }

/**
 * Adds a person without asking them.
 *
 * @throws {UsherError} `forbidden`, `form_param_value_invalid` (role), `already_a_member_in_organization`,
 *   `organization_membership_quota_exceeded` or `resource_not_found`
 */
export async function addMember(ctx: Ctx | Tx, input: MembershipInput): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const caller = await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
    const organization = await lockOrganization(tx, input.organizationId)
    const role = await getGrantableRole(tx, input.organizationId, input.role, caller)
    await getUser(tx, input.userId)
    if ((await freeSeats(tx, organization)) < 1) throw quotaExceeded()
    await insertMembership(tx, {
      organizationId: organization.id,
      userId: input.userId,
      roleId: role.id,
      roleKey: role.key,
    })
    return getMembership(tx, input)
  })
}

/** @throws {UsherError} `forbidden`, `resource_not_found`, `form_param_value_invalid` or `organization_minimum_permissions_needed` */
export async function changeMemberRole(ctx: Ctx | Tx, input: MembershipInput): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const caller = await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
    await lockOrganization(tx, input.organizationId)
    const role = await getGrantableRole(tx, input.organizationId, input.role, caller)
    const known = await getMembership(tx, input)
    const change = async () => {
      await tx.db
        .update(memberships)
        .set({ roleId: role.id, roleSource: 'direct', updatedAt: tx.now() })
        .where(eq(memberships.id, known.id))
      // Held as a further role until now: the primary one is not held twice.
      await tx.db
        .delete(membershipRoles)
        .where(and(eq(membershipRoles.membershipId, known.id), eq(membershipRoles.roleId, role.id)))
    }
    if (role.permissions.some((p) => p.key === guardian)) await change()
    else await keepingGuardian(tx, known, change)
    const data = {
      organization_id: input.organizationId,
      user_id: input.userId,
      role: role.key,
      previous_role: known.role.key,
    }
    emit(tx, { type: 'organizationMembership.updated', subject: known.id, data })
    return getMembership(tx, input)
  })
}

/**
 * Ends a membership: of somebody else with the permission, of oneself always.
 *
 * @returns the membership as it was
 * @throws {UsherError} `forbidden`, `resource_not_found` or `organization_minimum_permissions_needed`
 */
export async function removeMember(
  ctx: Ctx | Tx,
  input: { organizationId: string; userId: string },
): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const leaving = tx.actor.type === 'user' && tx.actor.userId === input.userId
    if (leaving) await requireMember(tx, input.organizationId)
    else await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
    await lockOrganization(tx, input.organizationId)
    const known = await getMembership(tx, input)
    const leave = () => tx.db.delete(memberships).where(eq(memberships.id, known.id))
    if (tx.actor.type === 'user') await keepingGuardian(tx, known, leave)
    else await leave()
    const data = { organization_id: input.organizationId, user_id: input.userId, role: known.role.key }
    emit(tx, { type: 'organizationMembership.deleted', subject: known.id, data })
    if (!leaving) await rememberSentAway(tx, input)
    return known
  })
}

/** Announces the end of memberships that go with something else: an organization, a person. */
export async function announceEndOfMemberships(tx: Tx, where: SQL): Promise<void> {
  const ending = await tx.db
    .select({
      id: memberships.id,
      organizationId: memberships.organizationId,
      userId: memberships.userId,
      role: roles.key,
    })
    .from(memberships)
    .innerJoin(roles, eq(roles.id, memberships.roleId))
    .where(where)
    .orderBy(memberships.id)
  for (const { id, organizationId, userId, role } of ending) {
    const data = { organization_id: organizationId, user_id: userId, role }
    emit(tx, { type: 'organizationMembership.deleted', subject: id, data })
  }
}

/** Merges metadata deeply; `null` deletes a key. For the application's server only. */
export async function mergeMembershipMetadata(
  ctx: Ctx | Tx,
  input: {
    organizationId: string
    userId: string
    publicMetadata?: Metadata | undefined
    privateMetadata?: Metadata | undefined
  },
): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    await lockOrganization(tx, input.organizationId)
    const known = await getMembership(tx, input)
    await tx.db
      .update(memberships)
      .set({
        publicMetadata: mergeMetadata(known.publicMetadata, input.publicMetadata ?? {}),
        privateMetadata: mergeMetadata(known.privateMetadata, input.privateMetadata ?? {}),
        updatedAt: tx.now(),
      })
      .where(eq(memberships.id, known.id))
    const data = { organization_id: input.organizationId, user_id: input.userId, role: known.role.key }
    emit(tx, { type: 'organizationMembership.updated', subject: known.id, data })
    return getMembership(tx, input)
  })
}
