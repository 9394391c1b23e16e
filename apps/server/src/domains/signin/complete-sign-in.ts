import { and, eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { secondFactorsOf } from '../credentials/index.ts'
import { warnUser } from '../messaging/index.ts'
import { type Browser, createSession, deviceStanding, noteClientFlow, type SessionActor } from '../sessions/index.ts'
import { clearFailedAttempts, refuseLocked, type UserRecord } from '../users/index.ts'
import { trustFactorsOf } from './factors.ts'
import { type SignIn, type SignInOutcome, withDetails } from './queries.ts'
import { signIns } from './tables.ts'

/** Time to show the second factor once the first one was right. */
const challengeTtlMs = 30 * 60_000

export type FirstFactorProof = {
  /** What was proven: `password`, `email_code`, `oauth_google`, … */
  strategy: string
  /** Counts for both factors, as a ticket from the application's own server does, or a passkey with a finger. */
  provesBothFactors?: boolean
  organizationId?: string | null
  actor?: SessionActor | null
  /** Seconds that the session may live at most, for impersonation. */
  maximumLifetime?: number
}

/**
 * Goes on from a proven first factor: to the second one where the person has set one up, to a proof of their mailbox
 * where the device is unknown and a password alone was shown, or to a session.
 *
 * @param signIn as the caller saw it; of parallel steps one goes on
 * @throws {UsherError} `token_used` when the sign-in is not where the caller saw it; `user_banned`, `user_locked`
 */
export async function completeFirstFactor(
  tx: Tx,
  browser: Browser,
  signIn: SignIn & { user: UserRecord | undefined },
  proof: FirstFactorProof,
): Promise<SignInOutcome> {
  const { user } = signIn
  if (!user) throw new UsherError('form_identifier_not_found', "Couldn't find your account.", { param: 'identifier' })
  refuseUnwelcome(tx, user)
  const next = proof.provesBothFactors ? undefined : await nextStep(tx, browser, user, proof.strategy)
  if (!next) return completeSignIn(tx, browser, signIn, proof)
  const now = tx.now()
  const [row] = await tx.db
    .update(signIns)
    .set({
      status: next,
      userId: user.id,
      firstFactorStrategy: proof.strategy,
      firstFactorVerifiedAt: now,
      abandonAt: new Date(now.getTime() + challengeTtlMs),
      firstFactorError: null,
    })
    .where(and(eq(signIns.id, signIn.id), eq(signIns.status, signIn.status)))
    .returning()
  if (!row) throw new UsherError('token_used', 'This step of the sign-in was done already.')
  return { signIn: await withDetails(tx, row) }
}

/** @throws {UsherError} `user_banned` or `user_locked` */
export function refuseUnwelcome(tx: { now: () => Date }, user: UserRecord): void {
  if (user.banned) throw new UsherError('user_banned', 'This account is banned.')
  refuseLocked(user, tx.now())
}

async function nextStep(
  tx: Tx,
  browser: Browser,
  user: UserRecord,
  strategy: string,
): Promise<'needs_second_factor' | 'needs_client_trust' | undefined> {
  if (secondFactorsOf(tx.instance, user).length > 0) return 'needs_second_factor'
  const { clientTrust = tx.instance.environment === 'production' } = tx.instance.settings
  // Only a password can be known to others without access to anything of the person's.
  if (!clientTrust || strategy !== 'password' || user.bypassClientTrust) return undefined
  if (trustFactorsOf(tx.instance, user).length === 0) return undefined
  const standing = await deviceStanding(tx, { userId: user.id, clientId: browser.clientId })
  return standing === 'known' ? undefined : 'needs_client_trust'
}

/**
 * Signs the person in. Of parallel steps one completes.
 *
 * @throws {UsherError} `token_used` when the sign-in is not where the caller saw it; `user_banned`, `user_locked`
 */
export async function completeSignIn(
  tx: Tx,
  browser: Browser,
  signIn: SignIn & { user: UserRecord | undefined },
  proof: Partial<FirstFactorProof> & { secondFactor?: boolean },
): Promise<SignInOutcome> {
  const now = tx.now()
  const userId = signIn.user?.id ?? signIn.userId
  const strategy = proof.strategy ?? signIn.firstFactorStrategy ?? 'password'
  const [claimed] = await tx.db
    .update(signIns)
    .set({
      status: 'complete',
      userId,
      firstFactorStrategy: strategy,
      firstFactorVerifiedAt: signIn.firstFactorVerifiedAt ?? now,
      firstFactorError: null,
      transferable: false,
      ...(proof.secondFactor && { secondFactorVerifiedAt: now }),
    })
    .where(and(eq(signIns.id, signIn.id), eq(signIns.status, signIn.status)))
    .returning()
  if (!claimed?.userId) throw new UsherError('token_used', 'This sign-in was completed already.')
  const device = { userId: claimed.userId, clientId: browser.clientId }
  const standing = await deviceStanding(tx, device)
  const { organizationId, actor, maximumLifetime } = proof
  const { session, issued } = await createSession(tx, {
    ...browser,
    userId: claimed.userId,
    strategy,
    organizationId: organizationId ?? null,
    actor: actor ?? null,
    ...(maximumLifetime !== undefined && { maximumLifetime }),
    ...((proof.secondFactor || proof.provesBothFactors) && { secondFactorAt: now }),
  })
  if (!actor) {
    await clearFailedAttempts(tx, claimed.userId)
    const { userAgent, ipAddress } = browser
    if (standing === 'new' && signIn.user)
      await warnUser(tx, signIn.user, { template: 'new_device_sign_in', data: { userAgent, ipAddress } })
  }
  await noteClientFlow(tx, browser.clientId, { signInId: null, signUpId: null })
  const [done] = await tx.db
    .update(signIns)
    .set({ createdSessionId: session.id })
    .where(eq(signIns.id, claimed.id))
    .returning()
  return { signIn: await withDetails(tx, done ?? claimed), issued }
}
