import { and, eq, ne } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { checkPasswordRules, hashPassword, setPasswordHash } from '../credentials/index.ts'
import { warnUser } from '../messaging/index.ts'
import { type Browser, forgetDevices, notePasswordReset, revokeUserSessions } from '../sessions/index.ts'
import { getUser, type UserRecord } from '../users/index.ts'
import { completeFirstFactor } from './complete-sign-in.ts'
import { hasFactor } from './factors.ts'
import { getSignIn, type SignIn, type SignInOutcome } from './queries.ts'
import { signIns } from './tables.ts'

/**
 * Sets the new password of a reset whose code was right, and goes on: to the second factor where there is one, else to
 * a session. Happens once per reset: leaving `needs_new_password` is a conditional update in the same transaction as
 * the password.
 *
 * @throws {UsherError} `token_used`, `verification_failed` when no code was proven, the errors of password rules
 */
export async function resetPassword(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; password: unknown; signOutOfOtherSessions: boolean },
): Promise<SignInOutcome> {
  const open = await getSignIn(ctx, { clientId: browser.clientId, id: input.id })
  refuseSpent(open)
  const { user } = open
  if (open.status !== 'needs_new_password' || !user)
    throw new UsherError('verification_failed', 'Enter the code that you were sent first.')
  const identifiers = user.emailAddresses.map((e) => e.emailAddress)
  const hash = await hashPassword(checkPasswordRules(ctx.instance, input.password, 'password', { identifiers }))
  return transaction(ctx, async (tx) => {
    // Hashing takes a while, in which the owner may have come. Read in this order: where it was this reset that
    // changed the password, that is what is said.
    const owner = await getUser(tx, user.id)
    refuseSpent(await getSignIn(tx, { clientId: browser.clientId, id: open.id }))
    refuseStale(tx, open, owner)
    if (input.signOutOfOtherSessions) await revokeUserSessions(tx, { userId: user.id })
    // Whoever had the old password may have made a device of theirs known with it.
    await forgetDevices(tx, { userId: user.id })
    const outcome = await completeFirstFactor(tx, browser, open, {
      strategy: open.firstFactorStrategy ?? 'reset_password_email_code',
    })
    await tx.db.update(signIns).set({ passwordResetAt: tx.now() }).where(eq(signIns.id, open.id))
    await setPasswordHash(tx, { userId: user.id, hash })
    await notePasswordReset(tx, user.id)
    // Whoever else began a reset of this account has to begin again.
    await tx.db
      .update(signIns)
      .set({ status: 'abandoned' })
      .where(and(eq(signIns.userId, user.id), eq(signIns.status, 'needs_new_password'), ne(signIns.id, open.id)))
    const { userAgent, ipAddress } = browser
    await warnUser(tx, user, { template: 'password_changed', data: { userAgent, ipAddress } })
    return outcome
  })
}

function refuseSpent(signIn: SignIn): void {
  if (signIn.status === 'complete' || signIn.passwordResetAt)
    throw new UsherError('token_used', 'This reset was used already.')
}

/**
 * What the code proved has an end: when its mailbox or number is the person's no more, and when the password was changed
 * since, which is what an owner does who hears of a reset that is not theirs.
 */
function refuseStale(ctx: Pick<Ctx, 'instance'>, signIn: SignIn, user: UserRecord): void {
  const { firstFactorStrategy, firstFactorVerifiedAt, identificationId: id } = signIn
  const theirs = hasFactor(ctx.instance, user, { strategy: firstFactorStrategy ?? '', id })
  const changed = (user.passwordUpdatedAt?.getTime() ?? 0) > (firstFactorVerifiedAt?.getTime() ?? 0)
  if (!theirs || changed)
    throw new UsherError('verification_expired', 'The account has changed meanwhile. Please begin the reset again.')
}
