import { and, desc, eq, isNull } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { newId, randomDigits } from '../../kernel/ids.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { hashToken } from '../../kernel/secrets.ts'
import { queueMessage } from '../messaging/index.ts'
import { isTestPhoneNumber, parsePhoneNumber } from '../users/index.ts'
import { verificationCodes } from './tables.ts'
import { countTextMessage } from './text-message-limits.ts'

export type CodePurpose = (typeof verificationCodes.$inferSelect)['purpose']

/** What is known about the newest code of a subject; never the code itself. */
export type CodeState = Pick<
  typeof verificationCodes.$inferSelect,
  'id' | 'recipient' | 'channel' | 'attempts' | 'expiresAt' | 'consumedAt'
>
export type CodeStatus = 'unverified' | 'verified' | 'failed' | 'expired'

export type SendCodeInput = {
  purpose: CodePurpose
  /** Id of the sign-in, sign-up, email address or phone number that the code belongs to. */
  subjectId: string
  /** False: everything but the message, where nobody may learn that there is nobody to send it to. */
  deliver?: boolean
  /** Language of somebody who has not proven the address or number yet. */
  locale?: string | null
} & (
  | {
      /** From `parseEmailAddress`. */
      emailAddress: string
      phoneNumber?: undefined
    }
  | {
      /** From `parsePhoneNumber`. */
      phoneNumber: string
      emailAddress?: undefined
    }
)
type CodeSubject = { purpose: CodePurpose; subjectId: string }

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
/** What `+clerk_test` addresses and `+1…55501xx` numbers take in development instances; they are sent nothing. */
export const testCode = '424242'

/**
 * Makes a six-digit code and queues it as an email or a text message. Earlier codes of the same purpose and subject stop
 * working.
 *
 * @throws {UsherError} `too_many_requests` when the address or number was sent too many, or the instance sent too many
 *   texts
 */
export async function sendCode(tx: Tx, input: SendCodeInput): Promise<CodeState> {
  const { purpose, subjectId, emailAddress, phoneNumber, deliver = true, locale } = input
  const now = tx.now()
  const isTest =
    phoneNumber === undefined ? isTestAddress(tx, emailAddress) : isTestPhoneNumber(tx.instance, phoneNumber)
  const code = isTest && deliver ? testCode : randomDigits(6)
  const id = newId('verification')
  const expiresAt = new Date(now.getTime() + codeTtlMs)
  await tx.db.delete(verificationCodes).where(ofSubject(input))
  const [made] = await tx.db
    .insert(verificationCodes)
    .values({
      id,
      instanceId: tx.instance.id,
      purpose,
      subjectId,
      channel: phoneNumber === undefined ? 'email' : 'sms',
      recipient: phoneNumber ?? emailAddress,
      codeHash: hashCode(id, code),
      createdAt: now,
      expiresAt,
    })
    .returning()
  if (!isTest && phoneNumber !== undefined) {
    // The countries that are served may have changed since the number was taken.
    parsePhoneNumber(tx.instance, phoneNumber)
    await countTextMessage(tx, phoneNumber)
    if (deliver)
      await queueMessage(tx, {
        channel: 'sms',
        template: templateFor(purpose),
        to: phoneNumber,
        data: { code },
        locale,
        expiresAt,
      })
  } else if (!isTest && emailAddress !== undefined) {
    for (const { name, ...limit } of mailLimits)
      countAttempt(tx.database, `${tx.instance.id}:${name}:${emailAddress}`, limit, now)
    if (deliver)
      await queueMessage(tx, {
        channel: 'email',
        template: templateFor(purpose),
        to: emailAddress,
        data: { code },
        locale,
        expiresAt,
      })
  }
  return made as CodeState
}

const templateFor = (purpose: CodePurpose) =>
  purpose === 'reset_password' ? 'reset_password_code' : 'verification_code'

const isTestAddress = (tx: Tx, emailAddress: string) =>
  tx.instance.environment === 'development' && /\+clerk_test@/.test(emailAddress)

/** The newest code of a subject, used up or not. */
export async function findCode(tx: Tx, subject: CodeSubject): Promise<CodeState | undefined> {
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

export function ofSubject({ purpose, subjectId }: CodeSubject) {
  return and(eq(verificationCodes.purpose, purpose), eq(verificationCodes.subjectId, subjectId))
}

export const unspent = isNull(verificationCodes.consumedAt)

/** A million codes are quickly hashed, so the row's id is part of it: one table does not serve for all rows. */
export function hashCode(id: string, code: string): string {
  return hashToken(`${id}:${code}`)
}
