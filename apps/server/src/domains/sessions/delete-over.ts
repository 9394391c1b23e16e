import { and, inArray, lt, notExists, sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { clients, clientTokens, sessions } from './tables.ts'

/** Days for which a session that is over is still listed. */
const retentionDays = 30

/**
 * Deletes client tokens that ran out and sessions whose time ended long ago, and then the clients that nothing is left
 * of: without a token nobody can show to be them.
 *
 * @param limit rows of each kind at most
 * @returns how many rows went
 */
export async function deleteOverSessions(tx: Tx, limit: number): Promise<number> {
  const now = tx.now()
  const longAgo = new Date(now.getTime() - retentionDays * 86_400_000)
  const oldTokens = tx.db
    .select({ hash: clientTokens.tokenHash })
    .from(clientTokens)
    .where(lt(clientTokens.expiresAt, now))
    .limit(limit)
  const tokens = await tx.db
    .delete(clientTokens)
    .where(inArray(clientTokens.tokenHash, oldTokens))
    .returning({ clientId: clientTokens.clientId })
  const oldSessions = tx.db
    .select({ id: sessions.id })
    .from(sessions)
    .where(lt(sessions.expireAt, longAgo))
    .limit(limit)
  const over = await tx.db
    .delete(sessions)
    .where(inArray(sessions.id, oldSessions))
    .returning({ clientId: sessions.clientId })
  const touched = [...new Set([...tokens, ...over].flatMap((row) => row.clientId ?? []))]
  return tokens.length + over.length + (await deleteEmptyClients(tx, touched))
}

/** Of these clients, deletes those that have neither a token nor a session. */
export async function deleteEmptyClients(tx: Tx, ids: string[]): Promise<number> {
  if (ids.length === 0) return 0
  const tokens = tx.db.select({ one: sql`1` }).from(clientTokens).where(sql`${clientTokens.clientId} = ${clients.id}`)
  const held = tx.db.select({ one: sql`1` }).from(sessions).where(sql`${sessions.clientId} = ${clients.id}`)
  const gone = await tx.db
    .delete(clients)
    .where(and(inArray(clients.id, ids), notExists(tokens), notExists(held)))
    .returning({ id: clients.id })
  return gone.length
}
