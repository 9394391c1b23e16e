import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Attempt, beginRoundTrip, connectionFor, type ExternalProfile } from '../connections/index.ts'
import { warnUser } from '../messaging/index.ts'
import { checkMaySignIn, mayTakeAddress } from '../restrictions/index.ts'
import type { Browser } from '../sessions/index.ts'
import { getSignUp } from '../signup/index.ts'
import { findUserByEmail, findUserByExternalAccount, linkExternalAccount, type UserRecord } from '../users/index.ts'
import type { VerificationError } from '../verifications/index.ts'
import { completeFirstFactor } from './complete-sign-in.ts'
import { refuseSignedIn } from './create-sign-in.ts'
import { getSignIn, insertSignIn, type SignInOutcome, withDetails } from './queries.ts'
import { signIns } from './tables.ts'

export type RoundTripRequest = {
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
 * Begins a sign-in with a social provider.
 *
 * @throws {UsherError} `session_exists`, `strategy_for_user_invalid`, `oauth_provider_not_configured`
 */
export async function beginSocialSignIn(ctx: Ctx, browser: Browser, request: RoundTripRequest): Promise<SignInOutcome> {
  const { strategy, redirectUrl, actionCompleteRedirectUrl, isNative } = request
  if (!connectionFor(ctx.instance, strategy).authenticatable) throw onlyForLinking()
  const signIn = await transaction(ctx, async (tx) => {
    await refuseSignedIn(tx, browser)
    const row = {
      status: 'needs_identifier',
      firstFactorStrategy: strategy,
      redirectUrl,
      actionCompleteRedirectUrl,
    } as const
    return (await insertSignIn(tx, browser, row)).row
  })
  const externalRedirectUrl = await beginRoundTrip(ctx, {
    ...request,
    attempt: {
      kind: 'sign_in',
      id: signIn.id,
      clientId: browser.clientId,
      redirectUrl,
      actionCompleteRedirectUrl,
      isNative,
    },
  })
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db.update(signIns).set({ externalRedirectUrl }).where(eq(signIns.id, signIn.id)).returning()
    return { signIn: await withDetails(tx, row ?? signIn) }
  })
}

export const onlyForLinking = () =>
  new UsherError('strategy_for_user_invalid', 'This provider can only be connected to an account that exists.', {
    param: 'strategy',
  })

/**
 * Goes on with a sign-in whose person came back from the provider: signs them in, or says why not. Nobody who is not
 * known is made an account here; that is a sign-up's, which takes the profile over.
 */
export async function finishSocialSignIn(
  ctx: Ctx,
  browser: Browser,
  attempt: Attempt,
  outcome: { strategy: string } & ({ profile: ExternalProfile } | { error: VerificationError }),
): Promise<SignInOutcome> {
  const { clientId } = attempt
  try {
    if ('error' in outcome) return await transaction(ctx, (tx) => fail(tx, attempt, outcome.error))
    return await transaction(ctx, async (tx) => {
      const signIn = await getSignIn(tx, { clientId, id: attempt.id })
      if (signIn.status !== 'needs_identifier')
        throw new UsherError('oauth_callback_invalid', 'This sign-in is over. Please begin again.')
      const { profile } = outcome
      if (profile.emailAddress) await checkMaySignIn(tx, { kind: 'email_address', value: profile.emailAddress })
      const user = await findOwner(tx, profile)
      if (!user) return offerSignUp(tx, attempt, profile)
      await refuseSignedIn(tx, browser, user)
      await link(tx, user, profile)
      return completeFirstFactor(tx, browser, { ...signIn, user }, { strategy: outcome.strategy })
    })
  } catch (error) {
    if (!(error instanceof UsherError) || error.code === 'oauth_callback_invalid') throw error
    const { code, message, details } = error
    return transaction(ctx, (tx) => fail(tx, attempt, { code, message, ...(details.meta && { meta: details.meta }) }))
  }
}

/**
 * Whose account at a provider this is. A link by (provider, subject) decides. Without one, an address speaks for a
 * user only if the provider has proven it and the user has too: an unproven claim on either side is nobody's.
 *
 * @throws {UsherError} `not_allowed_access` when that user's account there is another one
 */
export async function findOwner(tx: Tx, profile: ExternalProfile): Promise<UserRecord | undefined> {
  const linked = await findUserByExternalAccount(tx, profile)
  if (linked || !profile.emailAddress || !profile.emailVerified) return linked
  const byAddress = await findUserByEmail(tx, profile.emailAddress)
  const other = byAddress?.externalAccounts.some((a) => a.provider === profile.provider && a.verifiedAt !== null)
  // Addresses are given to new people; a second account with one is somebody else until its user says so.
  if (other)
    throw new UsherError(
      'not_allowed_access',
      'Another account of this provider is connected to the account with this address. Sign in with that one.',
    )
  return byAddress
}

/** Links what is not linked yet, and tells the person: an account that opens theirs is news to them. */
async function link(tx: Tx, user: UserRecord, profile: ExternalProfile): Promise<void> {
  const isNew = !user.externalAccounts.some(
    (a) => a.provider === profile.provider && a.providerUserId === profile.providerUserId && a.verifiedAt !== null,
  )
  const takeAddress = await mayTakeAddress(tx, { userId: user.id, profile })
  await linkExternalAccount(tx, { userId: user.id, profile, takeAddress })
  if (isNew) await tellOfLink(tx, user, profile)
}

export async function tellOfLink(tx: Tx, user: UserRecord, profile: ExternalProfile): Promise<void> {
  const name = tx.instance.connections.find((c) => c.provider.key === profile.provider)?.name ?? profile.provider
  const account = profile.emailAddress ?? profile.username ?? profile.providerUserId
  await warnUser(tx, user, { template: 'external_account_linked', data: { provider: name, account } })
}

/** Nobody has this account: a sign-up can take over what the provider said. */
async function offerSignUp(tx: Tx, attempt: Attempt, profile: ExternalProfile): Promise<SignInOutcome> {
  const message = "Couldn't find your account."
  return settle(tx, attempt, {
    transferable: true,
    externalProfile: profile,
    firstFactorVerifiedAt: tx.now(),
    firstFactorError: {
      code: 'external_account_not_found',
      message,
      long_message: 'There is no account for this yet. Sign up to make one.',
    },
  })
}

function fail(tx: Tx, attempt: Attempt, error: VerificationError): Promise<SignInOutcome> {
  return settle(tx, attempt, { firstFactorError: { ...error, long_message: error.long_message ?? error.message } })
}

async function settle(
  tx: Tx,
  { id, clientId }: Attempt,
  set: Partial<typeof signIns.$inferInsert>,
): Promise<SignInOutcome> {
  const [row] = await tx.db
    .update(signIns)
    .set({ ...set, externalRedirectUrl: null })
    .where(and(eq(signIns.id, id), eq(signIns.clientId, clientId), eq(signIns.status, 'needs_identifier')))
    .returning()
  if (!row) throw new UsherError('oauth_callback_invalid', 'This sign-in is over. Please begin again.')
  return { signIn: await withDetails(tx, row) }
}

/**
 * Signs in with what a sign-up found out: that the provider's account has a user already.
 *
 * @throws {UsherError} `resource_not_found` when this client's sign-up has nothing to hand over
 */
export async function transferToSignIn(ctx: Ctx, browser: Browser, signUpId: string | null): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const nothing = () => new UsherError('resource_not_found', 'There is nothing to continue with. Please begin again.')
    if (signUpId === null) throw nothing()
    const signUp = await getSignUp(tx, { clientId: browser.clientId, id: signUpId })
    const { externalProfile: profile, externalStrategy: strategy } = signUp
    if (!signUp.externalTransferable || !profile || !strategy || signUp.status !== 'missing_requirements')
      throw nothing()
    connectionFor(tx.instance, strategy)
    const user = await findOwner(tx, profile)
    if (!user) throw nothing()
    await refuseSignedIn(tx, browser, user)
    const { row: signIn } = await insertSignIn(tx, browser, {
      status: 'needs_identifier',
      firstFactorStrategy: strategy,
    })
    await link(tx, user, profile)
    return completeFirstFactor(tx, browser, { ...signIn, user }, { strategy })
  })
}

export type Transfer = {
  emailAddress?: { value: string; verifiedBy: 'email_code' | 'email_link' }
  phoneNumber?: string
  profile?: ExternalProfile
}

/**
 * What a sign-in that found no account has proven, for a sign-up to go on with. It is handed over once.
 *
 * @throws {UsherError} `resource_not_found`
 */
export async function takeTransfer(tx: Tx, browser: Browser, signInId: string | null): Promise<Transfer> {
  const mine = and(
    eq(signIns.id, signInId ?? ''),
    eq(signIns.clientId, browser.clientId),
    eq(signIns.transferable, true),
  )
  const [held] = await tx.db.select().from(signIns).where(mine).for('update')
  if (!held || held.abandonAt <= tx.now())
    throw new UsherError('resource_not_found', 'There is nothing to continue with. Please begin again.')
  await tx.db
    .update(signIns)
    .set({ transferable: false, externalProfile: null, status: 'abandoned' })
    .where(eq(signIns.id, held.id))
  const { externalProfile: profile, identifier, firstFactorStrategy: strategy } = held
  if (profile) {
    connectionFor(tx.instance, `oauth_${profile.provider}`)
    return { profile }
  }
  if (strategy === 'phone_code') return { phoneNumber: identifier ?? '' }
  const verifiedBy = strategy === 'email_link' ? strategy : 'email_code'
  return { emailAddress: { value: identifier ?? '', verifiedBy } }
}
