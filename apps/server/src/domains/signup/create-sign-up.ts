import { and, eq } from 'drizzle-orm'
import type { Metadata } from '../../database/columns.ts'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { checkPasswordRules, hashPassword } from '../credentials/index.ts'
import { type Browser, getClient, noteClientFlow } from '../sessions/index.ts'
import { findUserByEmail } from '../users/index.ts'
import { parseEmailAddress } from '../verifications/index.ts'
import { completeIfReady } from './complete-sign-up.ts'
import { getOpenSignUp, type SignUp, type SignUpOutcome } from './queries.ts'
import { signUps } from './tables.ts'
import { getTicket, type Ticket } from './tickets.ts'

/** What a person may tell about themselves. An absent field is left as it is. */
export type SignUpFields = {
  emailAddress?: unknown
  password?: unknown
  firstName?: string | null
  lastName?: string | null
  unsafeMetadata?: Metadata
  legalAccepted?: boolean
  ticket?: unknown
}

const signUpTtlMs = 24 * 3600_000

/**
 * Begins a sign-up on a client; it takes the place of one that was under way. Completes at once when nothing is
 * missing or unproven.
 *
 * @throws {UsherError} `session_exists`, `sign_up_mode_restricted`, `form_identifier_exists`, the errors of tickets,
 *   of email addresses and of password rules
 */
export async function createSignUp(ctx: Ctx, browser: Browser, fields: SignUpFields): Promise<SignUpOutcome> {
  const values = await parseFields(ctx, fields)
  return transaction(ctx, async (tx) => {
    const client = await getClient(tx, browser.clientId)
    if (!tx.instance.settings.multiSession && client.sessions.length > 0)
      throw new UsherError('session_exists', 'You are already signed in.')
    const ticket = fields.ticket ? await getTicket(tx, fields.ticket) : undefined
    if (!ticket && tx.instance.settings.signUp.mode === 'restricted')
      throw new UsherError('sign_up_mode_restricted', 'Sign-ups are by invitation only.')
    const now = tx.now()
    const [row] = await tx.db
      .insert(signUps)
      .values({
        id: newId('signUp'),
        instanceId: tx.instance.id,
        clientId: client.id,
        status: 'missing_requirements',
        ...values,
        ...(await ticketValues(tx, ticket, values.emailAddress)),
        createdAt: now,
        abandonAt: new Date(now.getTime() + signUpTtlMs),
      })
      .returning()
    const signUp = row as SignUp
    await refuseTakenAddress(tx, signUp.emailAddress)
    await noteClientFlow(tx, client.id, { signUpId: signUp.id })
    return completeIfReady(tx, browser, signUp)
  })
}

/** Adds to or changes a sign-up. A changed address has to be proven anew. @throws {UsherError} as {@link createSignUp} */
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
    if (changesAddress && open.oneTimeTokenId)
      throw new UsherError('form_param_value_invalid', 'The invitation is for another address.', {
        param: 'email_address',
      })
    const set = {
      ...values,
      ...(changesAddress && { emailVerifiedAt: null, emailVerificationStrategy: null }),
      ...(await ticketValues(tx, ticket, values.emailAddress ?? open.emailAddress ?? undefined)),
    }
    if (Object.keys(set).length === 0) return completeIfReady(tx, browser, open)
    const [row] = await tx.db
      .update(signUps)
      .set(set)
      .where(and(eq(signUps.id, open.id), eq(signUps.status, 'missing_requirements')))
      .returning()
    if (!row) throw new UsherError('resource_not_found', 'This sign-up is over. Please begin again.')
    await refuseTakenAddress(tx, row.emailAddress)
    return completeIfReady(tx, browser, row)
  })
}

async function parseFields(ctx: Ctx, fields: SignUpFields) {
  const { names } = ctx.instance.settings.signUp
  return {
    ...(Boolean(fields.emailAddress) && { emailAddress: parseEmailAddress(fields.emailAddress) }),
    ...(Boolean(fields.password) && {
      passwordHash: await hashPassword(checkPasswordRules(ctx.instance, fields.password)),
    }),
    ...(names !== 'off' && fields.firstName !== undefined && { firstName: fields.firstName || null }),
    ...(names !== 'off' && fields.lastName !== undefined && { lastName: fields.lastName || null }),
    ...(fields.unsafeMetadata && { unsafeMetadata: fields.unsafeMetadata }),
    ...(fields.legalAccepted && { legalAcceptedAt: ctx.now() }),
  }
}

/** An invitation's address counts as proven: its ticket was read in that mailbox. */
async function ticketValues(tx: Tx, ticket: Ticket | undefined, emailAddress: string | undefined) {
  if (!ticket) return {}
  if (ticket.kind === 'sign_in_token')
    throw new UsherError('ticket_invalid', 'This ticket is for signing in.', { param: 'ticket' })
  if (emailAddress !== undefined && emailAddress !== ticket.emailAddress)
    throw new UsherError('form_param_value_invalid', 'The invitation is for another address.', {
      param: 'email_address',
    })
  return {
    emailAddress: ticket.emailAddress,
    emailVerifiedAt: tx.now(),
    emailVerificationStrategy: 'ticket' as const,
    oneTimeTokenId: ticket.token.id,
  }
}

async function refuseTakenAddress(tx: Tx, emailAddress: string | null): Promise<void> {
  if (emailAddress === null || !(await findUserByEmail(tx, emailAddress))) return
  throw new UsherError('form_identifier_exists', 'That email address is taken. Please try another.', {
    param: 'email_address',
  })
}
