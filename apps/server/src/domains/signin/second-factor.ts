import { and, eq, lt, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { useBackupCode, verifyTotp } from '../credentials/index.ts'
import type { Browser } from '../sessions/index.ts'
import { refuseUnwelcome, type UserRecord } from '../users/index.ts'
import { checkCode, sendCode } from '../verifications/index.ts'
import { completeSignIn } from './complete-sign-in.ts'
import { type FurtherFactor, furtherFactorsOf } from './factors.ts'
import { noteFailure } from './note-failure.ts'
import { getSignIn, type SignInOutcome, type SignInRecord, stepOver, withDetails } from './queries.ts'
import { signIns } from './tables.ts'

/** Guesses at the second factor that one sign-in stands. */
const maxAttempts = 5

type Waiting = SignInRecord & { user: UserRecord; status: 'needs_second_factor' | 'needs_client_trust' }

/**
 * Sends the code of a second factor, or of the proof that a new device asks for.
 *
 * @throws {UsherError} `strategy_for_user_invalid`, `verification_already_verified`, `too_many_requests`
 */
export async function prepareSecondFactor(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; strategy: string; phoneNumberId?: string | undefined; emailAddressId?: string | undefined },
): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const signIn = await getWaiting(tx, browser, input.id)
    const candidates = furtherFactorsOf(tx.instance, signIn.user, signIn.status).filter(
      (f) => f.strategy === input.strategy,
    )
    const factor =
      candidates.find((f) => idOf(f) === (input.phoneNumberId || input.emailAddressId)) ??
      (input.phoneNumberId || input.emailAddressId
        ? undefined
        : (candidates.find((f) => ('default' in f && f.default) || ('primary' in f && f.primary)) ?? candidates[0]))
    if (!factor || factor.strategy === 'totp' || factor.strategy === 'backup_code') throw wrongStrategy()
    const to = 'phoneNumber' in factor ? { phoneNumber: factor.phoneNumber } : { emailAddress: factor.emailAddress }
    await sendCode(tx, { purpose: 'sign_in_second_factor', subjectId: signIn.id, ...to })
    const [row] = await tx.db
      .update(signIns)
      .set({ secondFactorStrategy: factor.strategy, secondFactorIdentificationId: idOf(factor) ?? null })
      .where(and(eq(signIns.id, signIn.id), eq(signIns.status, signIn.status)))
      .returning()
    if (!row) throw stepOver()
    return { signIn: await withDetails(tx, row) }
  })
}

const idOf = (factor: FurtherFactor) =>
  'phoneNumberId' in factor ? factor.phoneNumberId : 'emailAddressId' in factor ? factor.emailAddressId : undefined

const wrongStrategy = () =>
  new UsherError('strategy_for_user_invalid', 'This method cannot be used with this account.', { param: 'strategy' })

/**
 * Proves the second factor and signs the person in. A sign-in stands five guesses, counted before they are looked at;
 * guesses over all sign-ins count against the account.
 *
 * @throws {UsherError} `form_code_incorrect`, `verification_failed` after too many guesses, `strategy_for_user_invalid`,
 *   `user_locked`, `user_banned`
 */
export async function attemptSecondFactor(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; strategy: string; code?: unknown },
): Promise<SignInOutcome> {
  const signIn = await transaction(ctx, (tx) => getWaiting(tx, browser, input.id))
  refuseUnwelcome(signIn.user, ctx.now())
  const offered = furtherFactorsOf(ctx.instance, signIn.user, signIn.status)
  if (!offered.some((f) => f.strategy === input.strategy)) throw wrongStrategy()
  if (!input.code) throw new UsherError('form_param_nil', 'Enter the code.', { param: 'code' })
  await countGuess(ctx, signIn)
  const { strategy } = input
  if (strategy === 'phone_code' || strategy === 'email_code') {
    await checkSentCode(ctx, signIn, offered, input)
    return transaction(ctx, (tx) => finish(tx, browser, signIn, strategy))
  }
  const outcome = await transaction(ctx, async (tx) => {
    const userId = signIn.user.id
    const code = input.code
    const right = await (strategy === 'totp' ? verifyTotp(tx, { userId, code }) : useBackupCode(tx, { userId, code }))
    // The code is spent in the transaction that signs in: a refusal there gives it back.
    return right ? finish(tx, browser, signIn, strategy) : undefined
  })
  if (outcome) return outcome
  await noteFailure(ctx, signIn.user.id, browser)
  throw new UsherError('form_code_incorrect', 'The code is incorrect.', { param: 'code' })
}

/** Counted by itself, so that no refusal and no parallel request takes it back. */
async function countGuess(ctx: Ctx, signIn: Waiting): Promise<void> {
  const counted = await transaction(ctx, (tx) =>
    tx.db
      .update(signIns)
      .set({ secondFactorAttempts: sql`${signIns.secondFactorAttempts} + 1` })
      .where(
        and(
          eq(signIns.id, signIn.id),
          eq(signIns.status, signIn.status),
          lt(signIns.secondFactorAttempts, maxAttempts),
        ),
      )
      .returning({ id: signIns.id }),
  )
  if (counted.length > 0) return
  throw new UsherError('verification_failed', 'There were too many attempts. Please sign in again.', { param: 'code' })
}

async function checkSentCode(
  ctx: Ctx,
  signIn: Waiting,
  offered: FurtherFactor[],
  { strategy, code }: { strategy: string; code?: unknown },
): Promise<void> {
  const sentTo = signIn.secondFactorIdentificationId
  // The number or address may have been removed since, or the code may be for another strategy.
  if (!offered.some((f) => f.strategy === strategy && idOf(f) === sentTo))
    throw new UsherError('verification_failed', 'Ask for a code first.', { param: 'code' })
  try {
    await checkCode(ctx, { purpose: 'sign_in_second_factor', subjectId: signIn.id, code })
  } catch (error) {
    if (error instanceof UsherError && error.code === 'form_code_incorrect') await noteFailure(ctx, signIn.user.id)
    throw error
  }
}

async function finish(tx: Tx, browser: Browser, signIn: Waiting, strategy: string): Promise<SignInOutcome> {
  await tx.db.update(signIns).set({ secondFactorStrategy: strategy }).where(eq(signIns.id, signIn.id))
  // The proof of a mailbox makes a device known. It is no second factor that the person set up.
  return completeSignIn(tx, browser, signIn, { secondFactor: signIn.status === 'needs_second_factor' })
}

async function getWaiting(tx: Tx, browser: Browser, id: string): Promise<Waiting> {
  const found = await getSignIn(tx, { clientId: browser.clientId, id })
  const { user, status } = found
  if (!user || (status !== 'needs_second_factor' && status !== 'needs_client_trust')) throw stepOver()
  // A password that was changed since it was shown proves nothing any more.
  const { firstFactorStrategy, firstFactorVerifiedAt } = found
  const changedAt = user.passwordUpdatedAt?.getTime() ?? Number.POSITIVE_INFINITY
  if (firstFactorStrategy === 'password' && changedAt > (firstFactorVerifiedAt?.getTime() ?? 0))
    throw new UsherError('verification_expired', 'The password was changed meanwhile. Please sign in again.')
  return { ...found, user, status }
}
