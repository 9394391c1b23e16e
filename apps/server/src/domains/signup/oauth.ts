import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Attempt, beginRoundTrip, connectionFor, type ExternalProfile } from '../connections/index.ts'
import type { Browser } from '../sessions/index.ts'
import { findUserByEmail, findUserByExternalAccount } from '../users/index.ts'
import type { VerificationError } from '../verifications/index.ts'
import { checkAdmission } from './admission.ts'
import { completeIfReady } from './complete-sign-up.ts'
import { insertSignUp, provenValues, type SignUpFields } from './create-sign-up.ts'
import { getOpenSignUp, type SignUpOutcome, withCode } from './queries.ts'
import { signUps } from './tables.ts'

export type SocialSignUpRequest = {
  strategy: string
  redirectUrl: string
  actionCompleteRedirectUrl: string | null
  callbackUrl: string
  publicUrl: string
  isNative: boolean
  prompt?: string | undefined
  loginHint?: string | undefined
}

/**
 * Begins a sign-up with a social provider, or goes on with one that is under way.
 *
 * @param id of the sign-up that is under way
 * @throws {UsherError} `session_exists`, `strategy_for_user_invalid`, `oauth_provider_not_configured`,
 *   `sign_up_mode_restricted`
 */
export async function beginSocialSignUp(
  ctx: Ctx,
  browser: Browser,
  fields: SignUpFields,
  request: SocialSignUpRequest,
  id?: string,
): Promise<SignUpOutcome> {
  const { strategy, redirectUrl, actionCompleteRedirectUrl, isNative } = request
  if (!connectionFor(ctx.instance, strategy).authenticatable)
    throw new UsherError('strategy_for_user_invalid', 'This provider can only be connected to an account that exists.')
  const signUp =
    id === undefined
      ? await insertSignUp(ctx, browser, fields, { externalStrategy: strategy })
      : await transaction(ctx, (tx) => getOpenSignUp(tx, { clientId: browser.clientId, id }))
  const externalRedirectUrl = await beginRoundTrip(ctx, {
    ...request,
    attempt: {
      kind: 'sign_up',
      id: signUp.id,
      clientId: browser.clientId,
      redirectUrl,
      actionCompleteRedirectUrl,
      isNative,
    },
  })
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db
      .update(signUps)
      .set({
        externalRedirectUrl,
        externalStrategy: strategy,
        externalVerifiedAt: null,
        externalError: null,
        redirectUrl,
        actionCompleteRedirectUrl,
      })
      .where(and(eq(signUps.id, signUp.id), eq(signUps.status, 'missing_requirements')))
      .returning()
    return { signUp: await withCode(tx, row ?? signUp) }
  })
}

/** Goes on with a sign-up whose person came back from the provider: makes the account, or says what is missing. */
export async function finishSocialSignUp(
  ctx: Ctx,
  browser: Browser,
  attempt: Attempt,
  outcome: { strategy: string } & ({ profile: ExternalProfile } | { error: VerificationError }),
): Promise<SignUpOutcome> {
  try {
    if ('error' in outcome) return await transaction(ctx, (tx) => fail(tx, attempt, outcome.error))
    return await transaction(ctx, async (tx) => {
      const { profile, strategy } = outcome
      const open = await getOpenSignUp(tx, { clientId: attempt.clientId, id: attempt.id })
      if (await isKnown(tx, profile)) return offerSignIn(tx, attempt, profile)
      const values = provenValues(tx, { profile })
      // What the person has said and proven themselves stays; the provider fills in the rest.
      const keepsAddress = open.emailAddress !== null && open.emailAddress !== values.emailAddress
      const { emailAddress, emailVerifiedAt, emailVerificationStrategy, ...rest } = values
      const set = {
        ...rest,
        ...(!keepsAddress && { emailAddress, emailVerifiedAt, emailVerificationStrategy }),
        firstName: open.firstName ?? rest.firstName ?? null,
        lastName: open.lastName ?? rest.lastName ?? null,
        externalStrategy: strategy,
        externalError: null,
        externalRedirectUrl: null,
      }
      const defined = Object.fromEntries(Object.entries(set).filter(([, value]) => value !== undefined))
      await checkAdmission(tx, {
        emailAddress: keepsAddress ? open.emailAddress : (emailAddress ?? null),
        hasTicket: open.oneTimeTokenId !== null,
      })
      const [row] = await tx.db
        .update(signUps)
        .set(defined)
        .where(and(eq(signUps.id, open.id), eq(signUps.status, 'missing_requirements')))
        .returning()
      if (!row) throw new UsherError('oauth_callback_invalid', 'This sign-up is over. Please begin again.')
      return completeIfReady(tx, browser, row)
    })
  } catch (error) {
    if (!(error instanceof UsherError) || error.code === 'oauth_callback_invalid') throw error
    return transaction(ctx, (tx) => fail(tx, attempt, { code: error.code, message: error.message }))
  }
}

/** Whether the account there, or an address that both sides have proven, belongs to somebody already. */
async function isKnown(tx: Tx, profile: ExternalProfile): Promise<boolean> {
  if (await findUserByExternalAccount(tx, profile)) return true
  if (!profile.emailAddress || !profile.emailVerified) return false
  return (await findUserByEmail(tx, profile.emailAddress)) !== undefined
}

function offerSignIn(tx: Tx, attempt: Attempt, profile: ExternalProfile): Promise<SignUpOutcome> {
  return settle(tx, attempt, {
    externalTransferable: true,
    externalProfile: profile,
    externalError: {
      code: 'external_account_exists',
      message: 'This account is in use already.',
      long_message: 'There is an account for this already. Sign in with it.',
    },
  })
}

function fail(tx: Tx, attempt: Attempt, error: VerificationError): Promise<SignUpOutcome> {
  return settle(tx, attempt, { externalError: { ...error, long_message: error.long_message ?? error.message } })
}

async function settle(
  tx: Tx,
  { id, clientId }: Attempt,
  set: Partial<typeof signUps.$inferInsert>,
): Promise<SignUpOutcome> {
  const [row] = await tx.db
    .update(signUps)
    .set({ ...set, externalRedirectUrl: null })
    .where(and(eq(signUps.id, id), eq(signUps.clientId, clientId), eq(signUps.status, 'missing_requirements')))
    .returning()
  if (!row) throw new UsherError('oauth_callback_invalid', 'This sign-up is over. Please begin again.')
  return { signUp: await withCode(tx, row) }
}
