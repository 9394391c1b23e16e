import { and, eq, gt, lt, sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { equalSecrets } from '../../kernel/secrets.ts'
import { type CodePurpose, codeStatusAt, findCode, hashCode, maxAttempts, ofSubject, unspent } from './send-code.ts'
import { verificationCodes } from './tables.ts'

export type CheckCodeInput = { purpose: CodePurpose; subjectId: string; code: unknown }

/**
 * Checks a code and spends it. The guess is counted by a conditional update before it is compared, so that no number
 * of parallel guesses gets more than five comparisons; a code is accepted once.
 *
 * @param ctx not inside a transaction: a wrong guess must stay counted when the caller's work is rolled back
 * @returns the email address or phone number that the code was sent to
 * @throws {UsherError} `form_code_incorrect`, `verification_expired`, `verification_failed` (too many guesses or no
 *   code was sent) or `verification_already_verified`
 */
export async function checkCode(ctx: Ctx, input: CheckCodeInput): Promise<{ recipient: string }> {
  const code = typeof input.code === 'string' ? input.code.replace(/[\s-]/g, '') : ''
  const outcome = await transaction(ctx, async (tx) => {
    const now = tx.now()
    const [counted] = await tx.db
      .update(verificationCodes)
      .set({ attempts: sql`${verificationCodes.attempts} + 1` })
      .where(
        and(
          ofSubject(input),
          unspent,
          lt(verificationCodes.attempts, maxAttempts),
          gt(verificationCodes.expiresAt, now),
        ),
      )
      .returning()
    if (!counted) return refusal(await findCode(tx, input), now)
    if (!equalSecrets(hashCode(counted.id, code), counted.codeHash))
      return new UsherError('form_code_incorrect', 'The code is incorrect.', { param: 'code' })
    await tx.db.update(verificationCodes).set({ consumedAt: now }).where(eq(verificationCodes.id, counted.id))
    return { recipient: counted.recipient }
  })
  if (outcome instanceof UsherError) throw outcome
  return outcome
}

function refusal(code: Awaited<ReturnType<typeof findCode>>, now: Date): UsherError {
  const status = code && codeStatusAt(code, now)
  if (status === 'verified') return new UsherError('verification_already_verified', 'This code was used already.')
  if (status === 'expired') return new UsherError('verification_expired', 'This code has expired. Ask for a new one.')
  return new UsherError('verification_failed', 'There were too many attempts. Ask for a new code.')
}
