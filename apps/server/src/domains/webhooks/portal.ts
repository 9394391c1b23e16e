import { and, eq, gt, isNull, lt } from 'drizzle-orm'
import { deleteSome, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { hashToken, newToken } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { consumeOneTimeToken, createOneTimeToken, revokeTokensOf } from '../verifications/index.ts'
import { webhookPortalSessions } from './tables.ts'

/** Long enough to follow a link, and not to find it in a history. */
const linkTtlMs = 10 * 60_000
const sessionTtlMs = 3_600_000

export type PortalSession = Omit<typeof webhookPortalSessions.$inferSelect, 'tokenHash'>

/**
 * Makes a link that opens the portal once, for whoever has it. The secret stands behind the `#`: browsers send that part
 * to nobody, so that it is in no log and no referrer.
 *
 * @throws {UsherError} `forbidden` for anybody but the application
 */
export async function createPortalLink(ctx: Ctx | Tx): Promise<{ url: string; expiresAt: Date }> {
  requireSecretKey(ctx)
  return transaction(ctx, async (tx) => {
    const expiresAt = new Date(tx.now().getTime() + linkTtlMs)
    const subjectId = tx.instance.id
    const { id, token } = await createOneTimeToken(tx, { kind: 'webhook_portal', subjectId, expiresAt })
    emit(tx, { type: 'webhookPortal.linkCreated', subject: id, data: {} })
    return { url: `${tx.publicUrl}/webhooks/portal/open#${token}`, expiresAt }
  })
}

/** Who is in the portal is the system to what they do there, and must not make links for others. */
function requireSecretKey({ actor }: Ctx | Tx): void {
  if (actor.type !== 'backend') throw new UsherError('forbidden', 'Only the application may do this.')
}

/**
 * Spends a link for a session of the portal. Of any number of tries one gets it.
 *
 * @returns the session, and what the browser proves it by
 * @throws {UsherError} `ticket_invalid`, `ticket_expired` or `token_used`
 */
export async function openPortal(
  ctx: Ctx | Tx,
  linkToken: unknown,
): Promise<{ session: PortalSession; token: string }> {
  return transaction(ctx, async (tx) => {
    const link = await consumeOneTimeToken(tx, 'webhook_portal', linkToken)
    const token = newToken()
    const now = tx.now()
    const session = {
      id: newId('webhookPortalSession'),
      instanceId: tx.instance.id,
      createdAt: now,
      expiresAt: new Date(now.getTime() + sessionTtlMs),
      endedAt: null,
    }
    await tx.db.insert(webhookPortalSessions).values({ ...session, tokenHash: hashToken(token) })
    emit(tx, { type: 'webhookPortal.opened', subject: session.id, data: { link_id: link.id } })
    return { session, token }
  })
}

/** The session of this instance that a browser proves, while it lasts. Its time is never prolonged. */
export async function findPortalSession(ctx: Ctx | Tx, token: unknown): Promise<PortalSession | undefined> {
  if (typeof token !== 'string' || token.length > 100) return undefined
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db
      .select()
      .from(webhookPortalSessions)
      .where(
        and(
          eq(webhookPortalSessions.tokenHash, hashToken(token)),
          isNull(webhookPortalSessions.endedAt),
          gt(webhookPortalSessions.expiresAt, tx.now()),
        ),
      )
    if (!row) return undefined
    const { tokenHash: _, ...session } = row
    return session
  })
}

/** Ends a session, in every browser that has its cookie. */
export async function closePortal(ctx: Ctx | Tx, id: string): Promise<void> {
  await transaction(ctx, (tx) => end(tx, id))
}

/** Ends all sessions of the portal and makes open links worthless. Endpoints stay. @throws {UsherError} `forbidden` */
export async function closeAllPortals(ctx: Ctx | Tx): Promise<void> {
  requireSecretKey(ctx)
  await transaction(ctx, async (tx) => {
    await revokeTokensOf(tx, 'webhook_portal', tx.instance.id)
    emit(tx, { type: 'webhookPortal.linksRevoked', subject: tx.instance.id, data: {} })
    await end(tx)
  })
}

async function end(tx: Tx, id?: string): Promise<void> {
  const ended = await tx.db
    .update(webhookPortalSessions)
    .set({ endedAt: tx.now() })
    .where(and(isNull(webhookPortalSessions.endedAt), id === undefined ? undefined : eq(webhookPortalSessions.id, id)))
    .returning({ id: webhookPortalSessions.id })
  for (const session of ended) emit(tx, { type: 'webhookPortal.closed', subject: session.id, data: {} })
}

/** @returns how many sessions that ran out were deleted */
export function deleteOverPortalSessions(tx: Tx, limit: number): Promise<number> {
  return deleteSome(tx, webhookPortalSessions, lt(webhookPortalSessions.expiresAt, tx.now()), limit)
}
