import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Instance } from '../instances/index.ts'
import type { NewClientToken } from '../sessions/index.ts'
import { type CodeState, type EmailLinkState, findCode, findEmailLinkState } from '../verifications/index.ts'
import { signUps } from './tables.ts'

export type SignUp = typeof signUps.$inferSelect
/** A sign-up with what is known about the codes that were sent for it. */
export type SignUpRecord = SignUp & {
  code: CodeState | undefined
  phoneCode: CodeState | undefined
  link: EmailLinkState | undefined
}
/** A sign-up after a step, and the client's new token when the step signed it in. */
export type SignUpOutcome = { signUp: SignUpRecord; issued?: NewClientToken | undefined }

type Use = 'off' | 'optional' | 'required'

/** The attributes that a sign-up asks for, and which of them are still missing or unproven. */
export function requirementsOf(instance: Instance, signUp: SignUp) {
  const { emailAddress, phoneNumber, username, password, signUp: rules } = instance.settings
  const byProvider = signUp.externalVerifiedAt !== null
  const uses: [string, Use][] = [
    ['email_address', emailAddress.use],
    ['phone_number', phoneNumber.use],
    ['username', username.use],
    // Whoever comes by a provider signs in by it again.
    ['password', byProvider && password.use === 'required' ? 'optional' : password.use],
    ['first_name', rules.names],
    ['last_name', rules.names],
  ]
  const given: Record<string, boolean> = {
    email_address: signUp.emailAddress !== null,
    phone_number: signUp.phoneNumber !== null,
    username: signUp.username !== null,
    password: signUp.passwordHash !== null,
    first_name: signUp.firstName !== null,
    last_name: signUp.lastName !== null,
    legal_accepted: signUp.legalAcceptedAt !== null,
  }
  const required = uses.filter(([, use]) => use === 'required').map(([name]) => name)
  if (rules.legalConsent) required.push('legal_accepted')
  const missing = required.filter((field) => !given[field])
  // Somebody who gives neither could not be found again, whatever else is asked for.
  const reachable = [emailAddress.use, phoneNumber.use].filter((use) => use !== 'off')
  const eitherWay = reachable.length === 2 && reachable.every((use) => use === 'optional')
  if (eitherWay && !given.email_address && !given.phone_number && !given.username)
    missing.push('email_address_or_phone_number')
  else if (!byProvider && !given.email_address && !given.phone_number && !given.username && missing.length === 0)
    missing.push(uses.find(([name, use]) => use !== 'off' && name !== 'password')?.[0] ?? 'email_address')
  return {
    required,
    optional: uses.filter(([, use]) => use === 'optional').map(([name]) => name),
    missing,
    unverified: [
      ...(given.email_address && signUp.emailVerifiedAt === null && emailAddress.verifyAtSignUp
        ? ['email_address']
        : []),
      ...(given.phone_number && signUp.phoneVerifiedAt === null && phoneNumber.verifyAtSignUp ? ['phone_number'] : []),
    ],
  }
}

/** The sign-up of a client, if it is still under way or just completed. */
export async function findSignUp(
  ctx: Ctx | Tx,
  input: { clientId: string; id: string },
): Promise<SignUpRecord | undefined> {
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db
      .select()
      .from(signUps)
      .where(and(eq(signUps.id, input.id), eq(signUps.clientId, input.clientId)))
    return row && withCode(tx, row)
  })
}

/** @throws {UsherError} `resource_not_found`, also for a sign-up that another client began */
export async function getSignUp(ctx: Ctx | Tx, input: { clientId: string; id: string }): Promise<SignUpRecord> {
  const found = await findSignUp(ctx, input)
  if (!found) throw new UsherError('resource_not_found', 'There is no such sign-up.')
  return found.status === 'missing_requirements' && found.abandonAt <= ctx.now()
    ? { ...found, status: 'abandoned' }
    : found
}

/** As {@link getSignUp}, for a step that needs it to be under way. */
export async function getOpenSignUp(tx: Tx, input: { clientId: string; id: string }): Promise<SignUpRecord> {
  const found = await getSignUp(tx, input)
  if (found.status === 'missing_requirements') return found
  throw signUpOver()
}

export const signUpOver = () => new UsherError('resource_not_found', 'This sign-up is over. Please begin again.')

export async function withCode(tx: Tx, row: SignUp): Promise<SignUpRecord> {
  return {
    ...row,
    code: row.emailAddress === null ? undefined : await findCode(tx, { purpose: 'sign_up', subjectId: row.id }),
    link: row.emailAddress === null ? undefined : await findEmailLinkState(tx, row.id),
    phoneCode:
      row.phoneNumber === null ? undefined : await findCode(tx, { purpose: 'sign_up_phone', subjectId: row.id }),
  }
}
