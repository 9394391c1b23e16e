import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { NewClientToken } from '../sessions/index.ts'
import { findUsers, type UserRecord } from '../users/index.ts'
import { type CodeState, findCode } from '../verifications/index.ts'
import { signIns } from './tables.ts'

export type SignIn = typeof signIns.$inferSelect
/** A sign-in with the person that its identifier names and the code that was sent for it. */
export type SignInRecord = SignIn & { user: UserRecord | undefined; code: CodeState | undefined }
/** A sign-in after a step, and the client's new token when the step signed it in. */
export type SignInOutcome = { signIn: SignInRecord; issued?: NewClientToken | undefined }

export type FirstFactor =
  | { strategy: 'password' }
  | {
      strategy: 'email_code' | 'reset_password_email_code'
      emailAddressId: string
      emailAddress: string
      primary: boolean
    }

/** Ways in which a person can begin to prove who they are: only addresses that they have proven count. */
export function firstFactorsOf(user: UserRecord): FirstFactor[] {
  const verified = user.emailAddresses.filter((e) => e.verifiedAt !== null)
  const byEmail = (strategy: 'email_code' | 'reset_password_email_code') =>
    verified.map((e) => ({
      strategy,
      emailAddressId: e.id,
      emailAddress: e.emailAddress,
      primary: e.id === user.primaryEmailAddressId,
    }))
  return user.passwordEnabled
    ? [{ strategy: 'password' }, ...byEmail('email_code'), ...byEmail('reset_password_email_code')]
    : byEmail('email_code')
}

/** The sign-in of a client, whatever became of it. */
export async function findSignIn(
  ctx: Ctx | Tx,
  input: { clientId: string; id: string },
): Promise<SignInRecord | undefined> {
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db
      .select()
      .from(signIns)
      .where(and(eq(signIns.id, input.id), eq(signIns.clientId, input.clientId)))
    return row && withDetails(tx, row)
  })
}

/** @throws {UsherError} `resource_not_found`, also for a sign-in that another client began */
export async function getSignIn(ctx: Ctx | Tx, input: { clientId: string; id: string }): Promise<SignInRecord> {
  const found = await findSignIn(ctx, input)
  if (!found) throw new UsherError('resource_not_found', 'There is no such sign-in.')
  return found.status !== 'complete' && found.abandonAt <= ctx.now() ? { ...found, status: 'abandoned' } : found
}

/** As {@link getSignIn}, for a step that needs a person who has yet to prove who they are. */
export async function getOpenSignIn(
  tx: Tx,
  input: { clientId: string; id: string },
): Promise<SignInRecord & { user: UserRecord }> {
  const found = await getSignIn(tx, input)
  const { user } = found
  if (found.status === 'needs_first_factor' && user) return { ...found, user }
  if (found.status === 'needs_identifier')
    throw new UsherError('form_param_missing', 'Enter your email address first.', { param: 'identifier' })
  throw new UsherError('verification_already_verified', 'This step of the sign-in is over.')
}

export async function withDetails(tx: Tx, row: SignIn): Promise<SignInRecord> {
  const [user] = row.userId ? await findUsers(tx, [row.userId]) : []
  const purpose = row.firstFactorStrategy === 'reset_password_email_code' ? 'reset_password' : 'sign_in'
  return { ...row, user, code: await findCode(tx, { purpose, subjectId: row.id }) }
}
