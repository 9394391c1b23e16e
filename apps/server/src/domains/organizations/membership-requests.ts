import { and, count, desc, eq, inArray } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { getRoleForNew } from '../access/index.ts'
import { rememberSentAway } from './enrollment.ts'
import { insertMembership } from './manage-memberships.ts'
import { announceRequest, type MembershipRequest } from './open-requests.ts'
import { findMembership } from './queries.ts'
import { requirePermission } from './require-permission.ts'
import { freeSeats, lockOrganization, quotaExceeded } from './seats.ts'
import { membershipRequests } from './tables.ts'

export type ListRequestsInput = Pagination & {
  organizationId: string
  status?: MembershipRequest['status'][] | undefined
}

/** Newest first. @throws {UsherError} `organization_not_found_or_unauthorized` or `forbidden` */
export async function listMembershipRequests(
  ctx: Ctx | Tx,
  input: ListRequestsInput,
): Promise<Page<MembershipRequest>> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
    const where = and(
      eq(membershipRequests.organizationId, input.organizationId),
      input.status?.length ? inArray(membershipRequests.status, input.status) : undefined,
    )
    const [total] = await tx.db.select({ n: count() }).from(membershipRequests).where(where)
    const data = await tx.db
      .select()
      .from(membershipRequests)
      .where(where)
      .orderBy(desc(membershipRequests.createdAt), membershipRequests.id)
      .limit(input.limit)
      .offset(input.offset)
    return { data, totalCount: total?.n ?? 0 }
  })
}

type Answer = { organizationId: string; requestId: string }

/**
 * Makes whoever asked a member, with the role that the instance gives to people who join by themselves.
 *
 * @throws {UsherError} `forbidden`, `resource_not_found` (no open request) or `organization_membership_quota_exceeded`
 */
export async function acceptMembershipRequest(ctx: Ctx | Tx, input: Answer): Promise<MembershipRequest> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
    const organization = await lockOrganization(tx, input.organizationId)
    const request = await answer(tx, input, 'accepted')
    const { organizationId, userId } = request
    if (await findMembership(tx, { organizationId, userId })) return request
    if ((await freeSeats(tx, organization)) < 1) throw quotaExceeded()
    const role = await getRoleForNew(tx, organizationId, 'member')
    await insertMembership(tx, { organizationId, userId, roleId: role.id, roleKey: role.key, roleSource: 'domain' })
    return request
  })
}

/** Turns somebody down; no domain suggests the organization to them again. @throws {UsherError} as {@link acceptMembershipRequest} */
export async function rejectMembershipRequest(ctx: Ctx | Tx, input: Answer): Promise<MembershipRequest> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
    await lockOrganization(tx, input.organizationId)
    const request = await answer(tx, input, 'rejected')
    await rememberSentAway(tx, request)
    return request
  })
}

/** Of parallel answers one counts. */
async function answer(tx: Tx, input: Answer, status: 'accepted' | 'rejected'): Promise<MembershipRequest> {
  const [answered] = await tx.db
    .update(membershipRequests)
    .set({ status, updatedAt: tx.now() })
    .where(
      and(
        eq(membershipRequests.id, input.requestId),
        eq(membershipRequests.organizationId, input.organizationId),
        eq(membershipRequests.status, 'pending'),
      ),
    )
    .returning()
  if (!answered) throw new UsherError('resource_not_found', 'There is no open request with this id.')
  announceRequest(tx, status, answered)
  return answered
}
