import { and, eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Browser } from '../sessions/index.ts'
import { sendCode } from '../verifications/index.ts'
import { firstFactorsOf, getOpenSignIn, type SignIn, type SignInOutcome } from './queries.ts'
import { signIns } from './tables.ts'

/**
 * Sends the code of a strategy to one of the person's proven addresses.
 *
 * @param input.emailAddressId which one; the one that was typed when absent
 * @throws {UsherError} `strategy_for_user_invalid`, `verification_already_verified`, `too_many_requests`
 */
export async function prepareFirstFactor(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; strategy: string; emailAddressId?: unknown },
): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const signIn = await getOpenSignIn(tx, { clientId: browser.clientId, id: input.id })
    const wanted = input.emailAddressId || signIn.identificationId || signIn.user.primaryEmailAddressId
    const factor = firstFactorsOf(signIn.user).find(
      (f) => f.strategy === input.strategy && 'emailAddressId' in f && f.emailAddressId === wanted,
    )
    if (!factor || factor.strategy === 'password')
      throw new UsherError('strategy_for_user_invalid', 'This method cannot be used with this account.', {
        param: 'strategy',
      })
    const { strategy, emailAddress, emailAddressId } = factor
    const purpose = strategy === 'email_code' ? 'sign_in' : 'reset_password'
    const code = await sendCode(tx, { purpose, subjectId: signIn.id, emailAddress })
    const [row] = await tx.db
      .update(signIns)
      .set({ firstFactorStrategy: strategy, identificationId: emailAddressId })
      .where(and(eq(signIns.id, signIn.id), eq(signIns.status, 'needs_first_factor')))
      .returning()
    if (!row) throw new UsherError('verification_already_verified', 'This step of the sign-in is over.')
    return { signIn: { ...(row as SignIn), user: signIn.user, code } }
  })
}
