import { and, eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Browser } from '../sessions/index.ts'
import { checkCode } from '../verifications/index.ts'
import { completeSignIn } from './complete-sign-in.ts'
import { checkPassword, createSignIn } from './create-sign-in.ts'
import { getOpenSignIn, type SignIn, type SignInOutcome, withDetails } from './queries.ts'
import { signIns } from './tables.ts'

/** Time for choosing a new password once the emailed code was right. */
const resetWindowMs = 10 * 60_000

type Attempt = { id: string; strategy: string; password?: unknown; code?: unknown; ticket?: unknown }

/**
 * Proves the first factor. A password or an emailed code completes the sign-in; the code of a reset leads to
 * `needs_new_password` and to nothing else.
 *
 * @throws {UsherError} `form_password_incorrect`, `strategy_for_user_invalid`, the errors of `checkCode`
 */
export async function attemptFirstFactor(ctx: Ctx, browser: Browser, input: Attempt): Promise<SignInOutcome> {
  const { strategy } = input
  if (strategy === 'ticket') return createSignIn(ctx, browser, { strategy, ticket: input.ticket })
  const signIn = await transaction(ctx, (tx) => getOpenSignIn(tx, { clientId: browser.clientId, id: input.id }))
  switch (strategy) {
    case 'password': {
      if (!input.password) throw new UsherError('form_param_nil', 'Enter your password.', { param: 'password' })
      const { user, identifier } = signIn
      await checkPassword(ctx, { emailAddress: identifier ?? user.id, user, password: String(input.password) })
      return transaction(ctx, (tx) => completeSignIn(tx, browser, signIn, { strategy }))
    }
    case 'email_code':
      await checkCode(ctx, { purpose: 'sign_in', subjectId: signIn.id, code: input.code })
      return transaction(ctx, (tx) => completeSignIn(tx, browser, signIn, { strategy }))
    case 'reset_password_email_code':
      await checkCode(ctx, { purpose: 'reset_password', subjectId: signIn.id, code: input.code })
      return allowNewPassword(ctx, signIn)
    default:
      throw new UsherError('strategy_for_user_invalid', 'This method cannot be used with this account.', {
        param: 'strategy',
      })
  }
}

async function allowNewPassword(ctx: Ctx, signIn: SignIn): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const [row] = await tx.db
      .update(signIns)
      .set({
        status: 'needs_new_password',
        firstFactorStrategy: 'reset_password_email_code',
        firstFactorVerifiedAt: now,
        abandonAt: new Date(now.getTime() + resetWindowMs),
      })
      .where(and(eq(signIns.id, signIn.id), eq(signIns.status, 'needs_first_factor')))
      .returning()
    if (!row) throw new UsherError('verification_already_verified', 'This step of the sign-in is over.')
    return { signIn: await withDetails(tx, row) }
  })
}
