import { and, desc, eq, isNull } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { queueEmail } from '../messaging/index.ts'
import {
  consumeOneTimeToken,
  createOneTimeToken,
  findOneTimeToken,
  type OneTimeToken,
  revokeTokensOf,
} from './one-time-tokens.ts'
import { oneTimeTokens } from './tables.ts'

/** What the link of an email proves, and where its browser goes on. */
export type EmailLink = {
  purpose: 'sign_in' | 'sign_up' | 'email_address'
  /** Id of the sign-in, sign-up or email address. */
  subjectId: string
  emailAddress: string
  /** The client that asked for it. */
  clientId: string
  redirectUrl: string
  /** What asked, in words for whoever opens the link elsewhere. */
  userAgent: string | null
  ipAddress: string | null
}

const templates = {
  sign_in: 'magic_link_sign_in',
  sign_up: 'magic_link_sign_up',
  email_address: 'magic_link_user_profile',
} as const
const ttlMs = 10 * 60_000
const limits = [
  { name: 'mail', max: 10, windowMs: 10 * 60_000 },
  { name: 'mail_day', max: 50, windowMs: 24 * 3600_000 },
]

type EmailLinkDelivery = {
  /** Origin of this server as browsers reach it. */
  publicUrl: string
  /** False: everything but the email, where nobody may learn that there is nobody to send it to. */
  deliver?: boolean
  /** Language of somebody who has not proven the address yet. */
  locale?: string | null
}

/**
 * Queues an email with a link that proves its address. Earlier links of the same subject stop working.
 *
 * @throws {UsherError} `too_many_requests`
 */
export async function sendEmailLink(
  tx: Tx,
  { publicUrl, deliver = true, locale, ...link }: EmailLink & EmailLinkDelivery,
): Promise<void> {
  for (const { name, ...limit } of limits)
    countAttempt(tx.database, `${tx.instance.id}:${name}:${link.emailAddress}`, limit, tx.now())
  await revokeTokensOf(tx, 'email_link', link.subjectId)
  const expiresAt = new Date(tx.now().getTime() + ttlMs)
  const { token } = await createOneTimeToken(tx, {
    kind: 'email_link',
    subjectId: link.subjectId,
    payload: { ...link },
    expiresAt,
  })
  const url = `${publicUrl}/v1/verify?token=${token}`
  if (deliver)
    await queueEmail(tx, {
      template: templates[link.purpose],
      to: link.emailAddress,
      data: { url, userAgent: link.userAgent, ipAddress: link.ipAddress },
      locale,
      expiresAt,
    })
}

export type EmailLinkState = { expiresAt: Date; consumedAt: Date | null; recipient: string }

/** The newest link of a subject, used or not; undefined when none was sent. */
export async function findEmailLinkState(tx: Tx, subjectId: string): Promise<EmailLinkState | undefined> {
  const [row] = await tx.db
    .select()
    .from(oneTimeTokens)
    .where(
      and(
        eq(oneTimeTokens.kind, 'email_link'),
        eq(oneTimeTokens.subjectId, subjectId),
        isNull(oneTimeTokens.revokedAt),
      ),
    )
    .orderBy(desc(oneTimeTokens.createdAt))
    .limit(1)
  return row && { expiresAt: row.expiresAt, consumedAt: row.consumedAt, recipient: linkOf(row).emailAddress }
}

/** What a link is for, without using it. @returns `expired` also for one that was used or taken back */
export async function readEmailLink(
  tx: Tx,
  token: unknown,
): Promise<{ state: 'open'; link: EmailLink } | { state: 'expired'; link: EmailLink } | { state: 'unknown' }> {
  const found = await findOneTimeToken(tx, 'email_link', token)
  if (!found) return { state: 'unknown' }
  const open = !found.consumedAt && !found.revokedAt && found.expiresAt > tx.now()
  return { state: open ? 'open' : 'expired', link: linkOf(found) }
}

/** Uses a link: of any number of parallel calls one gets it. @throws {UsherError} as `consumeOneTimeToken` */
export async function useEmailLink(tx: Tx, token: unknown): Promise<EmailLink> {
  return linkOf(await consumeOneTimeToken(tx, 'email_link', token))
}

const linkOf = (token: OneTimeToken) => token.payload as EmailLink
