import { and, eq } from 'drizzle-orm'
import { insertRow, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { type Browser, createClient, type NewClientToken, noteClientFlow } from '../sessions/index.ts'
import { findUsers, type UserRecord } from '../users/index.ts'
import {
  type CodePurpose,
  type CodeState,
  type EmailLinkState,
  findCode,
  findEmailLinkState,
} from '../verifications/index.ts'
import { signIns } from './tables.ts'

export type SignIn = typeof signIns.$inferSelect
export type NewSignIn = typeof signIns.$inferInsert
export type SignInValues = Partial<NewSignIn> & Pick<SignIn, 'status'>
/** A sign-in with the person that its identifier names and the codes that were sent for it. */
export type SignInRecord = SignIn & {
  user: UserRecord | undefined
  /** Of the first factor. */
  code: CodeState | undefined
  /** Of the second factor, or of the proof that a new device asks for. */
  secondCode: CodeState | undefined
  /** The link that was sent for the first factor. */
  link: EmailLinkState | undefined
}
/** A sign-in after a step, and the client's new token when the step signed it in. */
export type SignInOutcome = { signIn: SignInRecord; issued?: NewClientToken | undefined }

/** What the code of a strategy is for: a code for one of them opens none of the others. */
export const codePurposes: Record<string, CodePurpose> = {
  email_code: 'sign_in',
  phone_code: 'sign_in_phone',
  reset_password_email_code: 'reset_password',
  reset_password_phone_code: 'reset_password',
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

/**
 * As {@link getSignIn}, for a step that needs an identifier whose owner has yet to prove who they are. There may be no
 * such person: an instance that does not tell keeps up appearances.
 */
export async function getOpenSignIn(tx: Tx, input: { clientId: string; id: string }): Promise<SignInRecord> {
  const found = await getSignIn(tx, input)
  if (found.status === 'needs_first_factor') return found
  if (found.status === 'needs_identifier')
    throw new UsherError('form_param_missing', 'Enter your email address first.', { param: 'identifier' })
  throw stepOver()
}

export const stepOver = () => new UsherError('verification_already_verified', 'This step of the sign-in is over.')

const signInTtlMs = 24 * 3600_000

/** A sign-in that a client begins, not yet written down. */
export function newSignIn(tx: Tx, browser: Browser, values: SignInValues): NewSignIn {
  const now = tx.now()
  return {
    id: newId('signIn'),
    instanceId: tx.instance.id,
    clientId: browser.clientId,
    createdAt: now,
    abandonAt: new Date(now.getTime() + signInTtlMs),
    ...values,
  }
}

/** Writes a sign-in down in the place of what its client had under way; a client that is new is made. */
export async function insertSignIn(
  tx: Tx,
  browser: Browser,
  values: SignInValues,
): Promise<{ row: SignIn; issued: NewClientToken | undefined }> {
  const { clientId, carrier, presentedHash } = browser
  const made = browser.isNew ? await createClient(tx, { id: clientId, carrier, presentedHash }) : undefined
  const row = await insertRow(tx, signIns, newSignIn(tx, browser, values))
  await noteClientFlow(tx, clientId, { signInId: row.id })
  return { row, issued: made?.issued }
}

/** @param known the person, if they were read already */
export async function withDetails(tx: Tx, row: SignIn, known?: UserRecord): Promise<SignInRecord> {
  const { firstFactorStrategy: strategy } = row
  const purpose = strategy === null ? undefined : codePurposes[strategy]
  const past = row.status === 'needs_second_factor' || row.status === 'needs_client_trust'
  const [user] = row.userId ? (known ? [known] : await findUsers(tx, [row.userId])) : []
  return {
    ...row,
    user,
    code: purpose && (await findCode(tx, { purpose, subjectId: row.id })),
    link: strategy === 'email_link' ? await findEmailLinkState(tx, row.id) : undefined,
    secondCode: past ? await findCode(tx, { purpose: 'sign_in_second_factor', subjectId: row.id }) : undefined,
  }
}
