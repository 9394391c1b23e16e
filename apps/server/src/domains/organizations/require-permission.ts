import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { decide, type SystemPermission, standingOf } from '../access/index.ts'
import { findMembership, type MembershipRecord } from './queries.ts'

/** Somebody else's organization and one that does not exist look the same. */
const notFound = () =>
  new UsherError(
    'organization_not_found_or_unauthorized',
    'There is no such organization, or you are not a member of it.',
  )

/**
 * The caller's membership in the organization that a request names, whatever organization is active in their session.
 * Undefined for the application's own server, which may do everything in its instance.
 *
 * @throws {UsherError} `organization_not_found_or_unauthorized`
 */
export async function requireMember(ctx: Ctx | Tx, organizationId: string): Promise<MembershipRecord | undefined> {
  const { actor } = ctx
  if (actor.type === 'backend' || actor.type === 'system') return undefined
  if (actor.type !== 'user') throw notFound()
  const membership = await transaction(ctx, (tx) => findMembership(tx, { organizationId, userId: actor.userId }))
  if (!membership) throw notFound()
  return membership
}

/**
 * Lets the call go on if the caller holds the permission in this organization, in whatever way. What is not granted is denied.
 *
 * @throws {UsherError} `organization_not_found_or_unauthorized` or `forbidden`
 */
export async function requirePermission(
  ctx: Ctx | Tx,
  organizationId: string,
  permission: SystemPermission,
): Promise<MembershipRecord | undefined> {
  const membership = await requireMember(ctx, organizationId)
  if (membership && decide(standingOf(membership, []), { permission }) !== 'pass')
    throw new UsherError('forbidden', 'Your role in this organization does not allow this.', {
      meta: { permissions: [permission] },
      refused: { organizationId, rule: permission },
    })
  return membership
}
