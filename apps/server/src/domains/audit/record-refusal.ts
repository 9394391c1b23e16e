import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { emit } from '../events/index.ts'

/** Of one person, by one rule: who tries again and again does not fill the log with it. */
const limit = { max: 1, windowMs: 60_000 }

/**
 * Tells the log of an organization that somebody was refused, and by which rule. What was tried has been rolled back, so
 * this is a transaction of its own; should it fail, the refusal stands all the same.
 */
export async function recordRefusal(
  ctx: Ctx,
  { organizationId, rule }: { organizationId: string; rule: string },
): Promise<void> {
  const { actor, instance, database } = ctx
  if (actor.type !== 'user') return
  try {
    countAttempt(database, `${instance.id}:refused:${actor.userId}:${organizationId}:${rule}`, limit, ctx.now())
  } catch {
    return
  }
  try {
    await transaction(ctx, async (tx) => {
      const data = { organization_id: organizationId, user_id: actor.userId, rule }
      emit(tx, { type: 'access.refused', subject: organizationId, data })
    })
  } catch (error) {
    ctx.log.warn({ err: error }, 'a refusal could not be written into the audit log')
  }
}
