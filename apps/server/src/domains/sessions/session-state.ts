import { and, eq, gt, sql } from 'drizzle-orm'
import { prepared, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { hashToken } from '../../kernel/secrets.ts'
import type { ClientCarrier } from './clients.ts'
import type { ClientRecord, SessionRecord } from './queries.ts'
import { sessionCacheOf } from './session-cache.ts'
import { isSignedIn } from './session-status.ts'
import { clientTokens, sessions } from './tables.ts'

/** A session as memory may hold it. Compare its times before use. */
export type SessionState = SessionRecord
/** A client and the sessions that were signed in on it when it was read. */
export type ClientState = ClientRecord

/** Whom a browser's token stands for. A dev browser may have no client yet. */
export type IdentifiedClient = {
  tokenHash: string
  carrier: ClientCarrier
  expiresAt: Date
  client: ClientState | undefined
}

/**
 * Finds the client that a browser's token proves. Undefined when the token is unknown or has run out.
 *
 * @param token value of the client cookie or of the dev browser
 */
export async function identifyClient(
  ctx: Ctx,
  token: string,
  carrier: ClientCarrier,
): Promise<IdentifiedClient | undefined> {
  if (token.length < 20 || token.length > 200) return undefined
  const tokenHash = hashToken(token)
  const cache = sessionCacheOf(ctx.database)
  const known = cache.findByToken(ctx, tokenHash)
  if (known) return known.token.carrier === carrier ? { tokenHash, ...known.token, client: known.client } : undefined
  const [row] = await transaction(ctx, (tx) => findToken(tx, { tokenHash, now: tx.now() }))
  if (row?.carrier !== carrier) return undefined
  const entry = row.clientId === null ? undefined : await cache.load(ctx, row.clientId)
  return { tokenHash, carrier, expiresAt: row.expiresAt, client: entry?.client }
}

const findToken = prepared((db) =>
  db
    .select()
    .from(clientTokens)
    .where(
      and(eq(clientTokens.tokenHash, sql.placeholder('tokenHash')), gt(clientTokens.expiresAt, sql.placeholder('now'))),
    ),
)

/** A session by its id, from memory where it can be. Undefined when it has ended. */
export async function findSessionState(ctx: Ctx, sessionId: string): Promise<SessionState | undefined> {
  const cache = sessionCacheOf(ctx.database)
  const known = cache.findBySession(ctx, sessionId)
  if (known) return known
  const row = await transaction(ctx, async (tx) => {
    const [found] = await tx.db.select({ clientId: sessions.clientId }).from(sessions).where(eq(sessions.id, sessionId))
    return found
  })
  const entry = row && (await cache.load(ctx, row.clientId))
  return entry?.client.sessions.find((s) => s.id === sessionId)
}

/** A client as its browser sees it at this moment, from memory where that is still right in all that it shows. */
export async function findClientState(ctx: Ctx, clientId: string): Promise<ClientState | undefined> {
  const cache = sessionCacheOf(ctx.database)
  const known = cache.find(ctx, clientId)
  const entry = known && !known.outdated ? known : await cache.load(ctx, clientId)
  if (!entry) return undefined
  const now = ctx.now()
  return { ...entry.client, sessions: entry.client.sessions.filter((s) => isSignedIn(s, now)) }
}
