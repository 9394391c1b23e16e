import { and, desc, eq, isNull } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { newId, randomDigits } from '../../kernel/ids.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { hashToken } from '../../kernel/secrets.ts'
import { queueEmail } from '../messaging/index.ts'
import { verificationCodes } from './tables.ts'

export type CodePurpose = (typeof verificationCodes.$inferSelect)['purpose']

/** What is known about the newest code of a subject; never the code itself. */
export type CodeState = Pick<
  typeof verificationCodes.$inferSelect,
  'id' | 'emailAddress' | 'attempts' | 'expiresAt' | 'consumedAt'
>
export type CodeStatus = 'unverified' | 'verified' | 'failed' | 'expired'

export type SendCodeInput = {
  purpose: CodePurpose
  /** Id of the sign-in, sign-up or email address that the code belongs to. */
  subjectId: string
  /** From `parseEmailAddress`. */
  emailAddress: string
}

export const codeTtlMs = 10 * 60_000
/** Guesses that a code stands before it is worthless, right ones included. */
export const maxAttempts = 5
/**
 * Codes that one address is sent, whoever asks for them. Each code stands five guesses, so this bounds guessing too: to
 * 250 of a million a day.
 */
const mailLimits = [
  { name: 'mail', max: 10, windowMs: 10 * 60_000 },
  { name: 'mail_day', max: 50, windowMs: 24 * 3600_000 },
]
/** What `+clerk_test` addresses take in development instances; they get no mail. */
export const testCode = '424242'

/**
 * Makes a six-digit code and queues it as an email. Earlier codes of the same purpose and subject stop working.
 *
 * @throws {UsherError} `too_many_requests` when the address was sent too many
 */
export async function sendCode(tx: Tx, input: SendCodeInput): Promise<CodeState> {
  const now = tx.now()
  const isTest = tx.instance.environment === 'development' && /\+clerk_test@/.test(input.emailAddress)
  if (!isTest)
    for (const { name, ...limit } of mailLimits)
      countAttempt(tx.database, `${tx.instance.id}:${name}:${input.emailAddress}`, limit, now)
  const code = isTest ? testCode : randomDigits(6)
  const id = newId('verification')
  await tx.db.delete(verificationCodes).where(ofSubject(input))
  const [made] = await tx.db
    .insert(verificationCodes)
    .values({
      id,
      instanceId: tx.instance.id,
      ...input,
      codeHash: hashCode(id, code),
      createdAt: now,
      expiresAt: new Date(now.getTime() + codeTtlMs),
    })
    .returning()
  if (!isTest)
    await queueEmail(tx, {
      template: input.purpose === 'reset_password' ? 'reset_password_code' : 'verification_code',
      to: input.emailAddress,
      data: { code },
    })
  return made as CodeState
}

/** The newest code of a subject, used up or not. */
export async function findCode(
  tx: Tx,
  subject: Pick<SendCodeInput, 'purpose' | 'subjectId'>,
): Promise<CodeState | undefined> {
  const [row] = await tx.db
    .select()
    .from(verificationCodes)
    .where(ofSubject(subject))
    .orderBy(desc(verificationCodes.createdAt))
    .limit(1)
  return row
}

/** Where a code stands at a moment. */
export function codeStatusAt(code: CodeState, now: Date): CodeStatus {
  if (code.consumedAt) return 'verified'
  if (code.attempts >= maxAttempts) return 'failed'
  return code.expiresAt <= now ? 'expired' : 'unverified'
}

export function ofSubject({ purpose, subjectId }: Pick<SendCodeInput, 'purpose' | 'subjectId'>) {
  return and(eq(verificationCodes.purpose, purpose), eq(verificationCodes.subjectId, subjectId))
}

export const unspent = isNull(verificationCodes.consumedAt)

/** A million codes are quickly hashed, so the row's id is part of it: one table does not serve for all rows. */
export function hashCode(id: string, code: string): string {
  return hashToken(`${id}:${code}`)
}
