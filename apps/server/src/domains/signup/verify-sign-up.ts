import { and, eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Browser } from '../sessions/index.ts'
import { checkCode, sendCode } from '../verifications/index.ts'
import { completeIfReady } from './complete-sign-up.ts'
import { getOpenSignUp, type SignUpOutcome } from './queries.ts'
import { signUps } from './tables.ts'

/** Sends a code to the sign-up's address. @throws {UsherError} `resource_not_found` or `form_param_value_invalid` */
export async function prepareSignUpVerification(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; strategy: string },
): Promise<SignUpOutcome> {
  return transaction(ctx, async (tx) => {
    const open = await getOpenSignUp(tx, { clientId: browser.clientId, id: input.id })
    if (input.strategy !== 'email_code')
      throw new UsherError('form_param_value_invalid', 'Only codes by email can be had here.', { param: 'strategy' })
    if (open.emailAddress === null)
      throw new UsherError('form_param_missing', 'Enter an email address.', { param: 'email_address' })
    if (open.emailVerifiedAt) throw new UsherError('verification_already_verified', 'The address is verified already.')
    const { emailAddress } = open
    const code = await sendCode(tx, { purpose: 'sign_up', subjectId: open.id, emailAddress })
    return { signUp: { ...open, code } }
  })
}

/**
 * Checks the emailed code; completes the sign-up when nothing else is missing.
 *
 * @throws {UsherError} the errors of `checkCode`; `form_identifier_exists`
 */
export async function attemptSignUpVerification(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; strategy: string; code: unknown },
): Promise<SignUpOutcome> {
  if (input.strategy !== 'email_code')
    throw new UsherError('form_param_value_invalid', 'Only codes by email can be had here.', { param: 'strategy' })
  const open = await transaction(ctx, (tx) => getOpenSignUp(tx, { clientId: browser.clientId, id: input.id }))
  if (open.emailVerifiedAt) throw new UsherError('verification_already_verified', 'The address is verified already.')
  const proven = await checkCode(ctx, { purpose: 'sign_up', subjectId: open.id, code: input.code })
  return transaction(ctx, async (tx) => {
    // The condition on the address: it may have been changed since the code was sent to the old one.
    const [row] = await tx.db
      .update(signUps)
      .set({ emailVerifiedAt: tx.now(), emailVerificationStrategy: 'email_code' })
      .where(
        and(
          eq(signUps.id, open.id),
          eq(signUps.status, 'missing_requirements'),
          eq(signUps.emailAddress, proven.recipient),
        ),
      )
      .returning()
    if (!row) throw new UsherError('verification_failed', 'The address was changed. Ask for a new code.')
    return completeIfReady(tx, browser, row)
  })
}
