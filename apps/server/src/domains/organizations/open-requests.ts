import { and, eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { membershipRequests } from './tables.ts'

export type MembershipRequest = typeof membershipRequests.$inferSelect

/** Notes that somebody asks to become a member; asking twice is asking once. Rules are the caller's. */
export async function openRequest(tx: Tx, input: { organizationId: string; userId: string }): Promise<void> {
  const now = tx.now()
  const [made] = await tx.db
    .insert(membershipRequests)
    .values({
      id: newId('membershipRequest'),
      instanceId: tx.instance.id,
      ...input,
      status: 'pending',
      createdAt: now,
      updatedAt: now,
    })
    .onConflictDoNothing()
    .returning()
  if (made) announceRequest(tx, 'created', made)
}

/** Whoever has become a member has been answered. */
export async function settleRequest(tx: Tx, input: { organizationId: string; userId: string }): Promise<void> {
  const [settled] = await tx.db
    .update(membershipRequests)
    .set({ status: 'accepted', updatedAt: tx.now() })
    .where(
      and(
        eq(membershipRequests.organizationId, input.organizationId),
        eq(membershipRequests.userId, input.userId),
        eq(membershipRequests.status, 'pending'),
      ),
    )
    .returning()
  if (settled) announceRequest(tx, 'accepted', settled)
}

/** Tells what became of a request. */
export function announceRequest(tx: Tx, what: 'created' | 'accepted' | 'rejected', request: MembershipRequest): void {
  const data = { organization_id: request.organizationId, user_id: request.userId }
  emit(tx, { type: `organizationMembershipRequest.${what}`, subject: request.id, data })
}
