import { and, eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { memberships } from '../organizations/tables.ts'
import { users } from '../users/tables.ts'
import type { Subject } from './require-subject.ts'

/**
 * The membership that an organization's key hangs on: that of whoever made it. A maker who is not a member, such as a
 * colleague of the operator, is a note and no bond.
 *
 * @throws {UsherError} `form_param_value_invalid` for a maker who is not there
 */
export async function findMembershipId(tx: Tx, subject: Subject, createdBy: string | null): Promise<string | null> {
  if (createdBy === null) return null
  const [user] = await tx.db.select({ id: users.id }).from(users).where(eq(users.id, createdBy))
  if (!user) throw new UsherError('form_param_value_invalid', 'There is no such person.', { param: 'created_by' })
  if ('userId' in subject) return null
  const [membership] = await tx.db
    .select({ id: memberships.id })
    .from(memberships)
    .where(and(eq(memberships.organizationId, subject.organizationId), eq(memberships.userId, createdBy)))
  return membership?.id ?? null
}
