import { and, eq } from 'drizzle-orm'
import type { Metadata } from '../../database/columns.ts'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { ExternalProfile } from '../connections/index.ts'
import { checkPasswordRules, hashPassword } from '../credentials/index.ts'
import { type Browser, getClient, noteClientFlow } from '../sessions/index.ts'
import {
  checkUsername,
  findUserByEmail,
  findUserByPhone,
  findUserByUsername,
  parsePhoneNumber,
  type VerifiedBy,
} from '../users/index.ts'
import { parseEmailAddress } from '../verifications/index.ts'
import { checkAdmission } from './admission.ts'
import { completeIfReady } from './complete-sign-up.ts'
import { getOpenSignUp, type SignUp, type SignUpOutcome, signUpOver } from './queries.ts'
import { signUps } from './tables.ts'
import { getTicket, type Ticket } from './tickets.ts'

/** What a person may tell about themselves. An absent field is left as it is. */
export type SignUpFields = {
  emailAddress?: unknown
  phoneNumber?: unknown
  username?: unknown
  password?: unknown
  firstName?: string | null | undefined
  lastName?: string | null | undefined
  unsafeMetadata?: Metadata | undefined
  legalAccepted?: boolean | undefined
  /** BCP 47 tag, for the language of messages. */
  locale?: string | undefined
  ticket?: unknown
  redirectUrl?: string | undefined
}

/** What was proven before the sign-up began: by a sign-in that found no account, or by a provider. */
export type ProvenIdentity = {
  emailAddress?: { value: string; verifiedBy: VerifiedBy }
  phoneNumber?: string
  profile?: ExternalProfile
}

const signUpTtlMs = 24 * 3600_000

/**
 * Begins a sign-up on a client; it takes the place of one that was under way. Completes at once when nothing is
 * missing or unproven.
 *
 * @param findProven asked in the transaction that begins it
 * @throws {UsherError} `session_exists`, `sign_up_mode_restricted`, `sign_up_restricted_waitlist`,
 *   `form_identifier_exists`, the errors of tickets, of restrictions, of identifiers and of password rules
 */
export async function createSignUp(
  ctx: Ctx,
  browser: Browser,
  fields: SignUpFields,
  findProven: (tx: Tx) => ProvenIdentity | Promise<ProvenIdentity> = () => ({}),
): Promise<SignUpOutcome> {
  const values = await parseFields(ctx, fields)
  return transaction(ctx, async (tx) => {
    const proven = provenValues(tx, await findProven(tx))
    return completeIfReady(tx, browser, await insert(tx, browser, fields, { ...values, ...proven }))
  })
}

/** As {@link createSignUp}, and leaves the sign-up open for a provider to say more. */
export async function insertSignUp(
  ctx: Ctx,
  browser: Browser,
  fields: SignUpFields,
  more: { externalStrategy: string },
): Promise<SignUp> {
  const values = await parseFields(ctx, fields)
  return transaction(ctx, (tx) => insert(tx, browser, fields, { ...values, ...more }, { byProvider: true }))
}

async function insert(
  tx: Tx,
  browser: Browser,
  fields: SignUpFields,
  values: Partial<typeof signUps.$inferInsert>,
  { byProvider = false } = {},
): Promise<SignUp> {
  const client = await getClient(tx, browser.clientId)
  if (!tx.instance.settings.multiSession && client.sessions.length > 0)
    throw new UsherError('session_exists', 'You are already signed in.')
  const ticket = fields.ticket ? await getTicket(tx, fields.ticket) : undefined
  const now = tx.now()
  const row = { ...values, ...(await ticketValues(tx, ticket, values.emailAddress ?? undefined)) }
  // Whom a provider will name is not known yet: that is asked when they come back, as at every end of a sign-up.
  if (!byProvider || row.emailAddress) await checkAdmission(tx, { ...row, hasTicket: ticket !== undefined })
  const [made] = await tx.db
    .insert(signUps)
    .values({
      id: newId('signUp'),
      instanceId: tx.instance.id,
      clientId: client.id,
      status: 'missing_requirements',
      ...row,
      redirectUrl: fields.redirectUrl ?? null,
      createdAt: now,
      abandonAt: new Date(now.getTime() + signUpTtlMs),
    })
    .returning()
  const signUp = made as SignUp
  await refuseTaken(tx, signUp)
  await noteClientFlow(tx, client.id, { signUpId: signUp.id })
  return signUp
}

/** Adds to or changes a sign-up. What is changed has to be proven anew. @throws {UsherError} as {@link createSignUp} */
export async function updateSignUp(
  ctx: Ctx,
  browser: Browser,
  id: string,
  fields: SignUpFields,
): Promise<SignUpOutcome> {
  const values = await parseFields(ctx, fields)
  return transaction(ctx, async (tx) => {
    const open = await getOpenSignUp(tx, { clientId: browser.clientId, id })
    const ticket = fields.ticket ? await getTicket(tx, fields.ticket) : undefined
    const changesAddress = values.emailAddress !== undefined && values.emailAddress !== open.emailAddress
    const changesNumber = values.phoneNumber !== undefined && values.phoneNumber !== open.phoneNumber
    if (changesAddress && open.oneTimeTokenId) throw forAnotherAddress()
    const set = {
      ...values,
      ...(changesAddress && { emailVerifiedAt: null, emailVerificationStrategy: null }),
      ...(changesNumber && { phoneVerifiedAt: null }),
      ...(await ticketValues(tx, ticket, values.emailAddress ?? open.emailAddress ?? undefined)),
    }
    if (Object.keys(set).length === 0) return completeIfReady(tx, browser, open)
    await checkAdmission(tx, {
      // Together: who is admitted by one of them may add the other.
      emailAddress: set.emailAddress ?? open.emailAddress,
      phoneNumber: set.phoneNumber ?? open.phoneNumber,
      hasTicket: ticket !== undefined || open.oneTimeTokenId !== null,
    })
    const [row] = await tx.db
      .update(signUps)
      .set(set)
      .where(and(eq(signUps.id, open.id), eq(signUps.status, 'missing_requirements')))
      .returning()
    if (!row) throw signUpOver()
    await refuseTaken(tx, row)
    return completeIfReady(tx, browser, row)
  })
}

/**
 * Only attributes that are switched on are looked at; each is checked by the rules of its own domain. Outside of any
 * transaction: a password waits for a thread that hashes it, and a connection must not wait with it.
 */
async function parseFields(ctx: Ctx, fields: SignUpFields) {
  const { emailAddress, phoneNumber, username, password, signUp } = ctx.instance.settings
  const named = typeof fields.username === 'string' ? fields.username.trim() : ''
  const email = emailAddress.use !== 'off' && fields.emailAddress ? parseEmailAddress(fields.emailAddress) : undefined
  const phone =
    phoneNumber.use !== 'off' && fields.phoneNumber ? parsePhoneNumber(ctx.instance, fields.phoneNumber) : undefined
  const user = username.use !== 'off' && named !== '' ? checkUsername(ctx.instance, named) : undefined
  const chosen = password.use !== 'off' && Boolean(fields.password)
  const identifiers = [email, phone, user].filter((identifier) => identifier !== undefined)
  return {
    ...(email !== undefined && { emailAddress: email }),
    ...(phone !== undefined && { phoneNumber: phone }),
    ...(user !== undefined && { username: user }),
    ...(chosen && {
      passwordHash: await hashPassword(checkPasswordRules(ctx.instance, fields.password, 'password', { identifiers })),
    }),
    ...(signUp.names !== 'off' && fields.firstName !== undefined && { firstName: fields.firstName || null }),
    ...(signUp.names !== 'off' && fields.lastName !== undefined && { lastName: fields.lastName || null }),
    ...(fields.unsafeMetadata && { unsafeMetadata: fields.unsafeMetadata }),
    ...(fields.legalAccepted && { legalAcceptedAt: ctx.now() }),
    ...(fields.locale && /^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/.test(fields.locale) && { locale: fields.locale }),
  }
}

/** What a provider says about the person fills in what they have not said themselves. */
export function provenValues(tx: Tx, { emailAddress, phoneNumber, profile }: ProvenIdentity) {
  const { settings } = tx.instance
  const names = settings.signUp.names !== 'off' && profile
  const byProfile = profile?.emailAddress && settings.emailAddress.use !== 'off' ? profile.emailAddress : undefined
  return {
    ...(names && { firstName: profile.firstName, lastName: profile.lastName }),
    ...(byProfile && {
      emailAddress: byProfile,
      ...(profile?.emailVerified && {
        emailVerifiedAt: tx.now(),
        emailVerificationStrategy: `from_oauth_${profile.provider}` as const,
      }),
    }),
    ...(emailAddress && {
      emailAddress: emailAddress.value,
      emailVerifiedAt: tx.now(),
      emailVerificationStrategy: emailAddress.verifiedBy,
    }),
    ...(phoneNumber && { phoneNumber, phoneVerifiedAt: tx.now() }),
    ...(profile && {
      externalProfile: profile,
      externalStrategy: `oauth_${profile.provider}`,
      externalVerifiedAt: tx.now(),
    }),
  }
}

const forAnotherAddress = () =>
  new UsherError('form_param_value_invalid', 'The invitation is for another address.', { param: 'email_address' })

/** An invitation's address counts as proven: its ticket was read in that mailbox. */
async function ticketValues(tx: Tx, ticket: Ticket | undefined, emailAddress: string | undefined) {
  if (!ticket) return {}
  if (!('emailAddress' in ticket))
    throw new UsherError('ticket_invalid', 'This ticket is for signing in.', { param: 'ticket' })
  if (emailAddress !== undefined && emailAddress !== ticket.emailAddress) throw forAnotherAddress()
  return {
    emailAddress: ticket.emailAddress,
    emailVerifiedAt: tx.now(),
    emailVerificationStrategy: 'ticket' as const,
    oneTimeTokenId: ticket.token.id,
  }
}

const taken = (what: string, param: string) =>
  new UsherError('form_identifier_exists', `That ${what} is taken. Please try another.`, { param })

/** Told early, for the person's sake; whether it holds is decided by the unique indexes when the account is made. */
async function refuseTaken(tx: Tx, signUp: SignUp): Promise<void> {
  if (signUp.emailAddress && (await findUserByEmail(tx, signUp.emailAddress)))
    throw taken('email address', 'email_address')
  if (signUp.phoneNumber && (await findUserByPhone(tx, signUp.phoneNumber))) throw taken('phone number', 'phone_number')
  if (signUp.username && (await findUserByUsername(tx, signUp.username))) throw taken('username', 'username')
}
