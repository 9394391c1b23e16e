import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Decision, decide, type Grant, type Question, standingOf } from '../access/index.ts'
import { getUser } from '../users/index.ts'
import { findMembership } from './queries.ts'

export type AccessCheck = {
  decision: Decision
  /** The grants by which a permission that was asked for is held. */
  grants: Grant[]
}

/**
 * Decides for the application's server what a token can say in part only: it asks the tables, and knows system
 * permissions too.
 *
 * @param input.organizationId where the person would act; undefined: in no organization. Not being a member is no error:
 *   nothing is held there
 * @throws {UsherError} `forbidden` for anybody else, `resource_not_found` for an unknown person, `form_param_missing`
 */
export async function checkAccess(
  ctx: Ctx,
  { userId, organizationId, ...question }: { userId: string; organizationId?: string | undefined } & Question,
): Promise<AccessCheck> {
  if (ctx.actor.type !== 'backend' && ctx.actor.type !== 'system')
    throw new UsherError('forbidden', 'Only the application’s server may do this.')
  if (question.role === undefined && question.permission === undefined && question.feature === undefined)
    throw new UsherError('form_param_missing', 'Ask for a role, a permission or a feature.', { param: 'permission' })
  return transaction(ctx, async (tx) => {
    const user = await getUser(tx, userId)
    const membership = organizationId === undefined ? undefined : await findMembership(tx, { organizationId, userId })
    // A banned person holds nothing: their tokens are not minted either.
    if (user.banned) return { decision: 'absent', grants: [] }
    const decision = decide(standingOf(membership, user.features), question)
    const key = question.permission?.replace(/^(org:)*/, 'org:')
    const grants = key === undefined ? [] : (membership?.grants.filter((g) => g.permissions.includes(key)) ?? [])
    return { decision, grants: decision === 'pass' ? grants : [] }
  })
}
