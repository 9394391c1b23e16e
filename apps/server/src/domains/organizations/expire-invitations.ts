import { and, eq, lte, type SQL } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { organizationInvitations } from './tables.ts'

/** Gives invitations whose time is over their status, so that others can take their place. */
export async function expireInvitations(tx: Tx, scope: SQL | undefined): Promise<void> {
  const now = tx.now()
  await tx.db
    .update(organizationInvitations)
    .set({ status: 'expired', updatedAt: now })
    .where(and(scope, eq(organizationInvitations.status, 'pending'), lte(organizationInvitations.expiresAt, now)))
}
