import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Instance } from '../instances/index.ts'
import type { NewClientToken } from '../sessions/index.ts'
import { type CodeState, findCode } from '../verifications/index.ts'
import { signUps } from './tables.ts'

export type SignUp = typeof signUps.$inferSelect
/** A sign-up with what is known about the code that was sent for it. */
export type SignUpRecord = SignUp & { code: CodeState | undefined }
/** A sign-up after a step, and the client's new token when the step signed it in. */
export type SignUpOutcome = { signUp: SignUpRecord; issued?: NewClientToken | undefined }

/** The attributes that a sign-up asks for, and which of them are still missing or unproven. */
export function requirementsOf(instance: Instance, signUp: SignUp) {
  const { names } = instance.settings.signUp
  const nameFields = ['first_name', 'last_name']
  const required = ['email_address', 'password', ...(names === 'required' ? nameFields : [])]
  const given: Record<string, boolean> = {
    email_address: signUp.emailAddress !== null,
    password: signUp.passwordHash !== null,
    first_name: signUp.firstName !== null,
    last_name: signUp.lastName !== null,
  }
  return {
    required,
    optional: names === 'optional' ? nameFields : [],
    missing: required.filter((field) => !given[field]),
    unverified: signUp.emailAddress !== null && signUp.emailVerifiedAt === null ? ['email_address'] : [],
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
  throw new UsherError('resource_not_found', 'This sign-up is over. Please begin again.')
}

export async function withCode(tx: Tx, row: SignUp): Promise<SignUpRecord> {
  return { ...row, code: await findCode(tx, { purpose: 'sign_up', subjectId: row.id }) }
}
