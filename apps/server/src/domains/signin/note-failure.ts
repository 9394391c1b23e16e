import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { warnUser } from '../messaging/index.ts'
import { getUser, noteFailedAttempt } from '../users/index.ts'

/** Counts a failed attempt; the one that locks an account is told to its owner. See `noteFailedAttempt`. */
export async function noteFailure(
  ctx: Ctx | Tx,
  userId: string,
  from: { userAgent?: string | null; ipAddress?: string | null } = {},
): Promise<void> {
  await transaction(ctx, async (tx) => {
    if (!(await noteFailedAttempt(tx, userId))) return
    const { userAgent = null, ipAddress = null } = from
    const minutes = tx.instance.settings.lockout.minutes || null
    await warnUser(tx, await getUser(tx, userId), {
      template: 'account_locked',
      data: { minutes, userAgent, ipAddress },
    })
  })
}
