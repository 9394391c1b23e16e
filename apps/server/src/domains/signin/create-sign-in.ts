import { type Tx, transaction, transactionTogether } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import {
  areHashesWaiting,
  findPassword,
  findPasswordByIdentifier,
  fitsPassword,
  isBreached,
  type StoredPassword,
  upgradePassword,
} from '../credentials/index.ts'
import type { Instance } from '../instances/index.ts'
import { checkMaySignIn } from '../restrictions/index.ts'
import { type Browser, getClient, watchSessions } from '../sessions/index.ts'
import { getTicket, spendTicket } from '../signup/index.ts'
import {
  findUserByEmail,
  findUserByIdentifier,
  getUser,
  type Identifier,
  identifierOf,
  isLocked,
  refuseUnwelcome,
  type UserRecord,
} from '../users/index.ts'
import { parseEmailAddress } from '../verifications/index.ts'
import { completeFirstFactor } from './complete-sign-in.ts'
import { noteFailure } from './note-failure.ts'
import { prepareFirstFactor } from './prepare-first-factor.ts'
import { insertSignIn, newSignIn, type SignInOutcome, type SignInValues, withDetails } from './queries.ts'

export type CreateSignInInput = {
  identifier?: unknown
  password?: unknown
  strategy?: string | undefined
  ticket?: unknown
  /** An unknown identifier is accepted, to be proven and then taken over by a sign-up. */
  signUpIfMissing?: boolean | undefined
  redirectUrl?: string | undefined
  publicUrl?: string | undefined
  /** Host name for which passkeys are asked. */
  rpId?: string | undefined
}

/** Guesses at one identifier's password, from wherever they come. */
export const passwordLimit = { max: 30, windowMs: 10 * 60_000 }

/** Behind many hashes nobody notices that they were read with who came a moment later. */
const readPatienceMs = 5

/**
 * Begins a sign-in on a client; it takes the place of one that was under way. With a password or a ticket it may be
 * complete at once, with the strategy of a code the code is sent.
 *
 * @throws {UsherError} `session_exists`, `identifier_already_signed_in`, `form_identifier_not_found`,
 *   `form_password_incorrect`, `strategy_for_user_invalid`, `user_banned`, `user_locked`, the errors of tickets
 */
export async function createSignIn(ctx: Ctx, browser: Browser, input: CreateSignInInput): Promise<SignInOutcome> {
  const { strategy } = input
  if (strategy === 'ticket' || input.ticket) return signInWithTicket(ctx, browser, input.ticket)
  if (!input.identifier) {
    const begun = await begin(ctx, browser, {
      status: strategy === 'passkey' ? 'needs_first_factor' : 'needs_identifier',
    })
    return strategy === 'passkey'
      ? prepareFirstFactor(ctx, browser, { id: begun.signIn.id, strategy, rpId: input.rpId })
      : begun
  }
  const identifier = parseIdentifier(ctx.instance, input.identifier)
  const password = input.password ? String(input.password) : undefined
  using watch = watchSessions(ctx)
  const readAt = ctx.now()
  const { user, stored } = await transactionTogether(
    ctx,
    async (tx) => {
      await checkMaySignIn(tx, identifier)
      const [user, stored] = await Promise.all([
        findUserByIdentifier(tx, identifier),
        password === undefined ? undefined : findPasswordByIdentifier(tx, identifier),
      ])
      await refuseSignedIn(tx, browser, user)
      return { user, stored }
    },
    { reads: true, patience: password !== undefined && areHashesWaiting() ? readPatienceMs : 0 },
  )
  // An answer about a password takes the same work whether or not there is an account.
  const proven =
    password === undefined ? undefined : await checkPassword(ctx, { identifier, user, stored, password, from: browser })
  const silent = ctx.instance.settings.enumerationProtection || input.signUpIfMissing
  if (!user && !silent) throw identifierNotFound()
  // That an account is locked or banned tells that there is one.
  if (user && !ctx.instance.settings.enumerationProtection) refuseUnwelcome(user, ctx.now())
  const row = {
    status: 'needs_first_factor' as const,
    identifier: identifier.value,
    userId: user?.id ?? null,
    identificationId: user ? (identificationOf(user, identifier.value) ?? null) : null,
    signUpIfMissing: input.signUpIfMissing ?? false,
  }
  if (proven)
    return await transactionTogether(
      ctx,
      (tx) => {
        const byPassword = { passwordHash: proven.hash, readAt, watch }
        const signIn = { ...newSignIn(tx, browser, row), user, unwritten: true, byPassword }
        return completeFirstFactor(tx, browser, signIn, { strategy: 'password' })
      },
      { locks: proven.userId },
    )
  const begun = await begin(ctx, browser, row)
  if (!strategy || strategy === 'password') return begun
  const { redirectUrl, publicUrl, rpId } = input
  return prepareFirstFactor(ctx, browser, { id: begun.signIn.id, strategy, redirectUrl, publicUrl, rpId })
}

const identifierNotFound = () =>
  new UsherError('form_identifier_not_found', "Couldn't find your account.", { param: 'identifier' })

const eitherIncorrect = () =>
  new UsherError('form_password_or_identifier_incorrect', 'The password or the identifier is incorrect.', {
    param: 'password',
  })

/** Id of the address or number that was typed. */
function identificationOf(user: UserRecord, typed: string): string | undefined {
  return (
    user.emailAddresses.find((e) => e.emailAddress === typed)?.id ??
    user.phoneNumbers.find((n) => n.phoneNumber === typed)?.id
  )
}

/**
 * What was typed, as one of the kinds that the instance signs people in with.
 *
 * @throws {UsherError} `form_param_format_invalid`
 */
function parseIdentifier({ settings }: Instance, typed: unknown): Identifier {
  const text = typeof typed === 'string' && typed.length <= 254 ? typed : ''
  const identifier = identifierOf(text)
  const inUse = {
    email_address: settings.emailAddress.use !== 'off' && settings.emailAddress.signIn,
    phone_number: settings.phoneNumber.use !== 'off' && settings.phoneNumber.signIn,
    username: settings.username.use !== 'off' && settings.username.signIn && text !== '',
  }
  if (identifier.kind === 'email_address' && inUse.email_address)
    return { kind: 'email_address', value: parseEmailAddress(typed, 'identifier') }
  if (inUse[identifier.kind]) return identifier
  const names = [
    inUse.email_address && 'email address',
    inUse.phone_number && 'phone number',
    inUse.username && 'username',
  ].filter(Boolean)
  throw new UsherError('form_param_format_invalid', `Enter a valid ${names.join(' or ') || 'identifier'}.`, {
    param: 'identifier',
  })
}

/** Makes a sign-in on a client that may begin one. */
function begin(ctx: Ctx, browser: Browser, row: SignInValues, user?: UserRecord): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    await refuseSignedIn(tx, browser, user)
    const { row: made, issued } = await insertSignIn(tx, browser, row)
    return { signIn: await withDetails(tx, made), issued }
  })
}

/**
 * @param user whom the sign-in is about, when it is known
 * @throws {UsherError} `session_exists` or `identifier_already_signed_in`
 */
export async function refuseSignedIn(tx: Tx, browser: Browser, user?: UserRecord): Promise<void> {
  if (browser.isNew) return
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
 * Checks a password and counts a wrong one against the account. Where the instance does not tell who has an account,
 * every refusal is the same.
 *
 * @throws {UsherError} `form_identifier_not_found`, `strategy_for_user_invalid`, `form_password_incorrect`,
 *   `form_password_or_identifier_incorrect`, `user_locked` or `too_many_requests`
 * @returns what is kept of the password
 */
export async function checkPassword(
  ctx: Ctx,
  input: {
    identifier: Identifier
    user: UserRecord | undefined
    /** The password of whom the identifier names, if it was read already. */
    stored?: StoredPassword | undefined
    password: string
    /** Told to the owner when this attempt locks the account. */
    from?: { userAgent: string | null; ipAddress: string | null }
  },
): Promise<StoredPassword> {
  const { identifier, user } = input
  const { enumerationProtection } = ctx.instance.settings
  if (ctx.instance.settings.password.use === 'off')
    throw new UsherError('strategy_for_user_invalid', 'Passwords are not used here. Use another method.', {
      param: 'password',
    })
  countAttempt(ctx.database, `${ctx.instance.id}:password:${identifier.value}`, passwordLimit, ctx.now())
  // Between two statements an address may have gone from one person to another.
  const isTheirs = input.stored !== undefined && input.stored.userId === user?.id
  const stored = isTheirs
    ? input.stored
    : user && (await transaction(ctx, (tx) => findPassword(tx, user.id), { byKeys: true }))
  const matches = await fitsPassword(stored, input.password)
  // A locked account answers alike to right and wrong passwords: the lock would be no lock otherwise. Where it is not
  // told who has an account, it answers as an unknown one does; its owner was told of the lock by email.
  if (user && enumerationProtection && isLocked(user, ctx.now())) throw eitherIncorrect()
  if (user && (matches || !enumerationProtection)) refuseUnwelcome(user, ctx.now())
  // Whoever knows it is told so only when it is right: it is known to more people than its owner.
  if (matches && user?.passwordCompromised)
    throw new UsherError(
      'form_password_compromised',
      'This password is known to others. Use another method, or reset it.',
      {
        param: 'password',
      },
    )
  if (matches && ctx.instance.settings.password.refuseBreachedAtSignIn && isBreached(input.password))
    throw new UsherError('form_password_pwned', 'This password was found in a leak. Use another method, or reset it.', {
      param: 'password',
    })
  if (stored && matches) return upgradePassword(ctx, stored, input.password)
  if (user) await noteFailure(ctx, user.id, input.from)
  if (enumerationProtection) throw eitherIncorrect()
  if (!user) throw identifierNotFound()
  if (!user.passwordEnabled)
    throw new UsherError('strategy_for_user_invalid', 'This account has no password. Use another method.', {
      param: 'password',
    })
  throw new UsherError('form_password_incorrect', 'Password is incorrect. Try again, or use another method.', {
    param: 'password',
  })
}

async function signInWithTicket(ctx: Ctx, browser: Browser, value: unknown): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const ticket = await getTicket(tx, value)
    const byApplication = 'userId' in ticket
    const acting = ticket.kind === 'actor_token' ? ticket : undefined
    const user = byApplication ? await getUser(tx, ticket.userId) : await findUserByEmail(tx, ticket.emailAddress)
    if (acting) await refuseImpersonating(tx, browser)
    else await refuseSignedIn(tx, browser, user)
    if (!user) throw new UsherError('invitation_account_not_exists', 'There is no account for this invitation yet.')
    const identifier = byApplication ? null : ticket.emailAddress
    const values = { status: 'needs_first_factor' as const, identifier, userId: user.id }
    const { row } = await insertSignIn(tx, browser, values)
    const spent = await spendTicket(tx, ticket.token.id, user.id)
    return completeFirstFactor(
      tx,
      browser,
      { ...row, user },
      {
        strategy: 'ticket',
        // The application's own word needs no second factor; the link of an invitation proves a mailbox alone.
        provesBothFactors: byApplication,
        organizationId: spent.organizationId ?? ticket.organizationId,
        actor: acting?.actor ?? null,
        ...(acting && { maximumLifetime: acting.maximumLifetime }),
      },
    )
  })
}

/** Who acts for somebody already does not go on from there to somebody else; other sessions give way. */
async function refuseImpersonating(tx: Tx, browser: Browser): Promise<void> {
  const { sessions } = await getClient(tx, browser.clientId)
  if (sessions.some((s) => s.actor))
    throw new UsherError(
      'action_not_allowed_while_impersonating',
      'End the session in which you act for somebody first.',
    )
}
