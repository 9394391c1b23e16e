import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { verifyPassword } from '../credentials/index.ts'
import { passwordLimit } from './create-sign-in.ts'
import { noteFailure } from './note-failure.ts'

/**
 * Checks the password of somebody who is signed in. Whoever took over a session may guess at it as at a sign-in, and no
 * more: wrong ones are limited and count against the account. A lock keeps nobody out of a session that is open.
 *
 * @throws {UsherError} `form_param_nil`, `form_password_incorrect` or `too_many_requests`
 */
export async function checkCurrentPassword(
  ctx: Ctx,
  input: { userId: string; password: string | undefined },
): Promise<void> {
  const { userId, password } = input
  const param = 'current_password'
  if (!password) throw new UsherError('form_param_nil', 'Enter your current password.', { param })
  countAttempt(ctx.database, `${ctx.instance.id}:password:${userId}`, passwordLimit, ctx.now())
  if (await verifyPassword(ctx, { userId, password })) return
  await noteFailure(ctx, userId)
  throw new UsherError('form_password_incorrect', 'The current password is incorrect.', { param })
}
