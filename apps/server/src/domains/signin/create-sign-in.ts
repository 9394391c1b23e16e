import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { verifyPassword } from '../credentials/index.ts'
import { type Browser, getClient, noteClientFlow } from '../sessions/index.ts'
import { getTicket, spendTicket } from '../signup/index.ts'
import { findUserByEmail, getUser, type UserRecord } from '../users/index.ts'
import { parseEmailAddress } from '../verifications/index.ts'
import { completeSignIn } from './complete-sign-in.ts'
import { prepareFirstFactor } from './prepare-first-factor.ts'
import { type SignIn, type SignInOutcome, withDetails } from './queries.ts'
import { signIns } from './tables.ts'

export type CreateSignInInput = { identifier?: unknown; password?: unknown; strategy?: string; ticket?: unknown }

const signInTtlMs = 24 * 3600_000
/** Guesses at one address's password, from wherever they come. */
export const passwordLimit = { max: 30, windowMs: 10 * 60_000 }

/**
 * Begins a sign-in on a client; it takes the place of one that was under way. With a password or a ticket it may be
 * complete at once, with the strategy of a code the code is sent.
 *
 * @throws {UsherError} `session_exists`, `identifier_already_signed_in`, `form_identifier_not_found`,
 *   `form_password_incorrect`, `strategy_for_user_invalid`, `user_banned`, `user_locked`, the errors of tickets
 */
export async function createSignIn(ctx: Ctx, browser: Browser, input: CreateSignInInput): Promise<SignInOutcome> {
  if (input.strategy === 'ticket' || input.ticket) return signInWithTicket(ctx, browser, input.ticket)
  if (!input.identifier)
    return transaction(ctx, async (tx) => {
      await refuseSignedIn(tx, browser)
      return { signIn: await withDetails(tx, await insert(tx, browser, { status: 'needs_identifier' })) }
    })
  const emailAddress = parseEmailAddress(input.identifier, 'identifier')
  const user = await transaction(ctx, async (tx) => {
    const found = await findUserByEmail(tx, emailAddress)
    await refuseSignedIn(tx, browser, found)
    return found
  })
  // An answer about a password takes the same work whether or not there is an account.
  if (input.password) await checkPassword(ctx, { emailAddress, user, password: String(input.password) })
  if (!user) throw new UsherError('form_identifier_not_found', "Couldn't find your account.", { param: 'identifier' })
  if (user.banned) throw new UsherError('user_banned', 'This account is banned.')
  if (user.locked) throw new UsherError('user_locked', 'This account is locked.')
  const outcome = await transaction(ctx, async (tx) => {
    const identificationId = user.emailAddresses.find((e) => e.emailAddress === emailAddress)?.id ?? null
    const row = { status: 'needs_first_factor', identifier: emailAddress, userId: user.id, identificationId } as const
    const signIn = await insert(tx, browser, row)
    if (input.password) return completeSignIn(tx, browser, signIn, { strategy: 'password' })
    return { signIn: await withDetails(tx, signIn) }
  })
  const { strategy } = input
  if (input.password || !strategy || strategy === 'password') return outcome
  return prepareFirstFactor(ctx, browser, { id: outcome.signIn.id, strategy })
}

async function insert(tx: Tx, browser: Browser, row: Partial<SignIn> & Pick<SignIn, 'status'>): Promise<SignIn> {
  const now = tx.now()
  const [made] = await tx.db
    .insert(signIns)
    .values({
      ...row,
      id: newId('signIn'),
      instanceId: tx.instance.id,
      clientId: browser.clientId,
      createdAt: now,
      abandonAt: new Date(now.getTime() + signInTtlMs),
    })
    .returning()
  await noteClientFlow(tx, browser.clientId, { signInId: made?.id ?? null })
  return made as SignIn
}

async function refuseSignedIn(tx: Tx, browser: Browser, user?: UserRecord): Promise<void> {
  const { sessions } = await getClient(tx, browser.clientId)
  if (!tx.instance.settings.multiSession) {
    if (sessions.length > 0) throw new UsherError('session_exists', 'You are already signed in.')
    return
  }
  const existing = sessions.find((s) => s.userId === user?.id)
  if (existing)
    throw new UsherError('identifier_already_signed_in', 'You are already signed in with this account.', {
      param: 'identifier',
      meta: { session_id: existing.id },
    })
}

/**
 * @throws {UsherError} `form_identifier_not_found`, `strategy_for_user_invalid`, `form_password_incorrect` or
 *   `too_many_requests`
 */
export async function checkPassword(
  ctx: Ctx,
  input: { emailAddress: string; user: UserRecord | undefined; password: string },
): Promise<void> {
  countAttempt(ctx.database, `${ctx.instance.id}:password:${input.emailAddress}`, passwordLimit, ctx.now())
  const matches = await verifyPassword(ctx, { userId: input.user?.id, password: input.password })
  if (!input.user)
    throw new UsherError('form_identifier_not_found', "Couldn't find your account.", { param: 'identifier' })
  if (!input.user.passwordEnabled)
    throw new UsherError('strategy_for_user_invalid', 'This account has no password. Use another method.', {
      param: 'password',
    })
  if (!matches)
    throw new UsherError('form_password_incorrect', 'Password is incorrect. Try again, or use another method.', {
      param: 'password',
    })
}

async function signInWithTicket(ctx: Ctx, browser: Browser, value: unknown): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const ticket = await getTicket(tx, value)
    const user =
      ticket.kind === 'sign_in_token'
        ? await getUser(tx, ticket.userId)
        : await findUserByEmail(tx, ticket.emailAddress)
    await refuseSignedIn(tx, browser, user)
    if (!user) throw new UsherError('invitation_account_not_exists', 'There is no account for this invitation yet.')
    const identifier = ticket.kind === 'sign_in_token' ? null : ticket.emailAddress
    const signIn = await insert(tx, browser, { status: 'needs_first_factor', identifier, userId: user.id })
    const spent = await spendTicket(tx, ticket.token.id, user.id)
    return completeSignIn(tx, browser, signIn, {
      strategy: 'ticket',
      organizationId: spent.organizationId ?? ticket.organizationId,
      actor: ticket.kind === 'sign_in_token' ? ticket.actor : null,
    })
  })
}
