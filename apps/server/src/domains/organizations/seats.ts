import { eq, sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { memberships, organizations } from './tables.ts'

/**
 * Locks an organization's row, so that rules over several of its rows (the last administrator, the quota) hold when
 * requests arrive together.
 *
 * @throws {UsherError} `resource_not_found`
 */
export async function lockOrganization(tx: Tx, id: string): Promise<typeof organizations.$inferSelect> {
  const [locked] = await tx.db.select().from(organizations).where(eq(organizations.id, id)).for('update')
  if (!locked) throw new UsherError('resource_not_found', 'There is no such organization.')
  return locked
}

/**
 * How many more people fit; Infinity when there is no limit. Invitations that a domain brought about hold no seat: they are
 * as many as the domain has people.
 */
export async function freeSeats(tx: Tx, organization: { id: string; maxAllowedMemberships: number }): Promise<number> {
  if (organization.maxAllowedMemberships === 0) return Number.POSITIVE_INFINITY
  const [row] = await tx.db.execute<{ taken: number }>(sql`
    select (select count(*) from memberships where organization_id = ${organization.id})::int +
      (select count(*) from organization_invitations
        where organization_id = ${organization.id} and status = 'pending' and expires_at > ${tx.now()}
          and domain_id is null)::int as taken`)
  return organization.maxAllowedMemberships - (row?.taken ?? 0)
}

/** Whether the members alone take every seat. The organization's row is locked by the caller. */
export async function isFull(tx: Tx, organization: { id: string; maxAllowedMemberships: number }): Promise<boolean> {
  if (organization.maxAllowedMemberships === 0) return false
  const members = await tx.db.$count(memberships, eq(memberships.organizationId, organization.id))
  return members >= organization.maxAllowedMemberships
}

export const quotaExceeded = () =>
  new UsherError('organization_membership_quota_exceeded', 'This organization has no room for more members.')
