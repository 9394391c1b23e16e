import { and, eq } from 'drizzle-orm'
import { filledRow, type Tx, writeLater } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { secondFactorsOf } from '../credentials/index.ts'
import { warnUser } from '../messaging/index.ts'
import {
  type Browser,
  createSession,
  deviceStanding,
  type NewClientToken,
  type SeenUser,
  type SessionActor,
} from '../sessions/index.ts'
import { refuseUnwelcome, type UserRecord } from '../users/index.ts'
import { trustFactorsOf } from './factors.ts'
import { insertSignIn, type NewSignIn, type SignIn, type SignInOutcome, withDetails } from './queries.ts'
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

/** A sign-in as its caller saw it, with the person as they were then. */
export type SeenSignIn = NewSignIn & {
  user: UserRecord | undefined
  /** It is written down only once it is known where it leads. */
  unwritten?: boolean
  /** The password that was right, and since when it is known to be. */
  byPassword?: Omit<SeenUser, 'user'> & { readAt: Date }
}

/**
 * Goes on from a proven first factor: to the second one where the person has set one up, to a proof of their mailbox
 * where the device is unknown and a password alone was shown, or to a session. Of parallel steps one goes on.
 *
 * @throws {UsherError} `token_used` when the sign-in is not where the caller saw it; `user_banned`, `user_locked`
 */
export async function completeFirstFactor(
  tx: Tx,
  browser: Browser,
  signIn: SeenSignIn,
  proof: FirstFactorProof,
): Promise<SignInOutcome> {
  const { user } = signIn
  if (!user) throw new UsherError('form_identifier_not_found', "Couldn't find your account.", { param: 'identifier' })
  refuseUnwelcome(user, tx.now())
  const next = proof.provesBothFactors ? undefined : await nextStep(tx, browser, user, proof.strategy)
  if (!next) return completeSignIn(tx, browser, signIn, proof)
  const now = tx.now()
  const { row, issued } = await advance(tx, browser, signIn, {
    status: next,
    userId: user.id,
    firstFactorStrategy: proof.strategy,
    // As it was read: a password that was changed since proves nothing.
    firstFactorVerifiedAt: signIn.byPassword?.readAt ?? now,
    abandonAt: new Date(now.getTime() + challengeTtlMs),
    firstFactorError: null,
  })
  return { signIn: await withDetails(tx, row, user), issued }
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

/** @throws {UsherError} `token_used` when another step came first */
async function advance(
  tx: Tx,
  browser: Browser,
  { unwritten, ...signIn }: SeenSignIn,
  change: Partial<SignIn>,
): Promise<{ row: SignIn; issued?: NewClientToken | undefined }> {
  if (unwritten) return insertSignIn(tx, browser, { ...signIn, ...change })
  const [row] = await tx.db
    .update(signIns)
    .set(change)
    .where(and(eq(signIns.id, signIn.id), eq(signIns.status, signIn.status)))
    .returning()
  if (!row) throw new UsherError('token_used', 'This step of the sign-in was done already.')
  return { row }
}

/**
 * Signs the person in. Of parallel steps one completes.
 *
 * @throws {UsherError} `token_used` when the sign-in is not where the caller saw it; `user_banned`, `user_locked`
 */
export async function completeSignIn(
  tx: Tx,
  browser: Browser,
  signIn: SeenSignIn,
  proof: Partial<FirstFactorProof> & { secondFactor?: boolean },
): Promise<SignInOutcome> {
  const now = tx.now()
  const { user, byPassword, unwritten } = signIn
  const userId = user?.id ?? signIn.userId
  if (!userId) throw new UsherError('form_identifier_not_found', "Couldn't find your account.", { param: 'identifier' })
  const strategy = proof.strategy ?? signIn.firstFactorStrategy ?? 'password'
  const { organizationId = null, actor = null, maximumLifetime } = proof
  const complete: Partial<SignIn> = {
    status: 'complete',
    userId,
    firstFactorStrategy: strategy,
    firstFactorVerifiedAt: signIn.firstFactorVerifiedAt ?? now,
    firstFactorError: null,
    transferable: false,
    createdSessionId: newId('session'),
    ...(proof.secondFactor && { secondFactorVerifiedAt: now }),
  }
  // What was written down is claimed before anything follows from it.
  const claimed = unwritten ? undefined : (await advance(tx, browser, signIn, complete)).row
  const [standing, { issued, hadDevice }] = await Promise.all([
    actor || browser.isNew ? undefined : deviceStanding(tx, { userId, clientId: browser.clientId }),
    createSession(tx, {
      ...browser,
      id: complete.createdSessionId as string,
      userId,
      ...(user && byPassword && { seen: { user, ...byPassword } }),
      strategy,
      organizationId,
      actor,
      ...(maximumLifetime !== undefined && { maximumLifetime }),
      ...((proof.secondFactor || proof.provesBothFactors) && { secondFactorAt: now }),
    }),
  ])
  const { userAgent, ipAddress } = browser
  const done = claimed ?? filledRow(signIns, { ...signIn, ...complete })
  if (!claimed) writeLater(tx, signIns, { ...signIn, ...complete })
  const isNewDevice = browser.isNew ? hadDevice : standing === 'new'
  if (isNewDevice && user) await warnUser(tx, user, { template: 'new_device_sign_in', data: { userAgent, ipAddress } })
  return { signIn: await withDetails(tx, done, user), issued }
}
