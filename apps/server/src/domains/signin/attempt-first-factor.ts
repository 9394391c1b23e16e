import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type RelyingParty, verifyPasskey } from '../credentials/index.ts'
import type { Browser } from '../sessions/index.ts'
import { getUser, identifierOf, refuseUnwelcome } from '../users/index.ts'
import { checkCode } from '../verifications/index.ts'
import { completeFirstFactor } from './complete-sign-in.ts'
import { checkPassword, createSignIn } from './create-sign-in.ts'
import { hasFactor } from './factors.ts'
import { noteFailure } from './note-failure.ts'
import { codePurposes, getOpenSignIn, type SignInOutcome, type SignInRecord, stepOver, withDetails } from './queries.ts'
import { signIns } from './tables.ts'

/** Time for choosing a new password once the code was right. */
const resetWindowMs = 10 * 60_000

export type AttemptFirstFactorInput = {
  id: string
  strategy: string
  password?: unknown
  code?: unknown
  ticket?: unknown
  publicKeyCredential?: unknown
  /** Of the application, for passkeys. */
  relyingParty?: RelyingParty | undefined
}

/**
 * Proves the first factor. What follows is decided by `completeFirstFactor`; the code of a reset leads to
 * `needs_new_password` and to nothing else.
 *
 * @throws {UsherError} `form_password_incorrect`, `strategy_for_user_invalid`, the errors of `checkCode` and of passkeys
 */
export async function attemptFirstFactor(
  ctx: Ctx,
  browser: Browser,
  input: AttemptFirstFactorInput,
): Promise<SignInOutcome> {
  const { strategy } = input
  if (strategy === 'ticket') return createSignIn(ctx, browser, { strategy, ticket: input.ticket })
  const readAt = ctx.now()
  const signIn = await transaction(ctx, (tx) => getOpenSignIn(tx, { clientId: browser.clientId, id: input.id }))
  switch (strategy) {
    case 'password': {
      if (!input.password) throw new UsherError('form_param_nil', 'Enter your password.', { param: 'password' })
      const identifier = identifierOf(signIn.identifier ?? '')
      const { user } = signIn
      const { hash } = await checkPassword(ctx, { identifier, user, password: String(input.password), from: browser })
      const byPassword = { passwordHash: hash, readAt }
      return transaction(ctx, (tx) => completeFirstFactor(tx, browser, { ...signIn, byPassword }, { strategy }))
    }
    case 'email_code':
    case 'phone_code':
      await checkFactorCode(ctx, browser, signIn, input)
      if (!signIn.user) return transaction(ctx, (tx) => makeTransferable(tx, signIn, strategy))
      return transaction(ctx, (tx) => completeFirstFactor(tx, browser, signIn, { strategy }))
    case 'reset_password_email_code':
    case 'reset_password_phone_code':
      await checkFactorCode(ctx, browser, signIn, input)
      return allowNewPassword(ctx, signIn, strategy)
    case 'passkey':
      return attemptPasskey(ctx, browser, signIn, input)
    default:
      throw new UsherError('strategy_for_user_invalid', 'This method cannot be used with this account.', {
        param: 'strategy',
      })
  }
}

/**
 * Checks the code that was sent for a strategy. It is worth nothing once its address or number is no longer the
 * person's own, or the account was locked or banned meanwhile.
 */
async function checkFactorCode(
  ctx: Ctx,
  browser: Browser,
  signIn: SignInRecord,
  { strategy, code }: AttemptFirstFactorInput,
): Promise<void> {
  const { user } = signIn
  // A lock or a ban would tell that there is an account; where that is not told, the right code has to come first.
  if (user && !ctx.instance.settings.enumerationProtection) refuseUnwelcome(user, ctx.now())
  if (signIn.firstFactorStrategy !== strategy)
    throw new UsherError('verification_failed', 'Ask for a code first.', { param: 'code' })
  const purpose = codePurposes[strategy] ?? 'sign_in'
  try {
    await checkCode(ctx, { purpose, subjectId: signIn.id, code })
  } catch (error) {
    if (user && error instanceof UsherError && error.code === 'form_code_incorrect')
      await noteFailure(ctx, user.id, browser)
    throw error
  }
  if (user) refuseUnwelcome(user, ctx.now())
  if (user && !hasFactor(ctx.instance, user, { strategy, id: signIn.identificationId }))
    throw new UsherError('verification_failed', 'This code went to an address that is not yours any more.')
}

async function attemptPasskey(
  ctx: Ctx,
  browser: Browser,
  signIn: SignInRecord,
  { publicKeyCredential, relyingParty }: AttemptFirstFactorInput,
): Promise<SignInOutcome> {
  const { challenge: optionsJson } = signIn
  if (signIn.firstFactorStrategy !== 'passkey' || optionsJson === null || !relyingParty)
    throw new UsherError('verification_failed', 'Ask for a passkey first.')
  const { challenge } = JSON.parse(optionsJson) as { challenge: string }
  const { satisfiesSecondFactor } = ctx.instance.settings.passkeys
  return transaction(ctx, async (tx) => {
    const { userId, userVerified } = await verifyPasskey(tx, {
      challenge,
      credential: publicKeyCredential,
      ...relyingParty,
    })
    const both = satisfiesSecondFactor && userVerified
    const proof = { strategy: 'passkey', provesBothFactors: both, secondFactor: both }
    return completeFirstFactor(tx, browser, { ...signIn, user: await getUser(tx, userId) }, proof)
  })
}

/** The identifier is proven and nobody has it: a sign-up takes over from here. */
export async function makeTransferable(tx: Tx, signIn: SignInRecord, strategy: string): Promise<SignInOutcome> {
  const [row] = await tx.db
    .update(signIns)
    .set({
      transferable: true,
      firstFactorStrategy: strategy,
      firstFactorVerifiedAt: tx.now(),
      firstFactorError: {
        code: 'form_identifier_not_found',
        message: "Couldn't find your account.",
        long_message: 'There is no account for this yet. Sign up to make one.',
      },
    })
    .where(and(eq(signIns.id, signIn.id), eq(signIns.status, 'needs_first_factor')))
    .returning()
  if (!row) throw stepOver()
  return { signIn: await withDetails(tx, row) }
}

async function allowNewPassword(ctx: Ctx, signIn: SignInRecord, strategy: string): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const [row] = await tx.db
      .update(signIns)
      .set({
        status: 'needs_new_password',
        firstFactorStrategy: strategy,
        firstFactorVerifiedAt: now,
        abandonAt: new Date(now.getTime() + resetWindowMs),
      })
      .where(and(eq(signIns.id, signIn.id), eq(signIns.status, 'needs_first_factor')))
      .returning()
    if (!row) throw stepOver()
    return { signIn: await withDetails(tx, row) }
  })
}
