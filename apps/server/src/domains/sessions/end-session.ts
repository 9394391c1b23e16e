import { and, eq, inArray, ne, or, type SQL, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { getSession, type Session, type SessionRecord } from './queries.ts'
import { clients, sessions } from './tables.ts'

type Ending = Extract<Session['status'], 'ended' | 'removed' | 'replaced' | 'revoked'>

const open = inArray(sessions.status, ['active', 'pending'])

/**
 * Closes the open sessions that a condition names, announces each, and moves their clients' clocks on.
 *
 * @returns how many were open
 */
export async function closeSessions(tx: Tx, where: SQL | undefined, status: Ending): Promise<number> {
  const now = tx.now()
  const closed = await tx.db
    .update(sessions)
    .set({ status, updatedAt: now })
    .where(and(open, where))
    .returning({ id: sessions.id, userId: sessions.userId, clientId: sessions.clientId })
  if (closed.length === 0) return 0
  const ids = closed.map((s) => s.id)
  const clientIds = [...new Set(closed.map((s) => s.clientId))]
  await tx.db.update(clients).set({ updatedAt: now }).where(inArray(clients.id, clientIds))
  await tx.db.update(clients).set({ lastActiveSessionId: null }).where(inArray(clients.lastActiveSessionId, ids))
  for (const s of closed) {
    const data = { session_id: s.id, user_id: s.userId, client_id: s.clientId }
    emit(tx, { type: `session.${status}`, subject: s.id, data })
  }
  return closed.length
}

/** Signs one session of a client out. @throws {UsherError} `resource_not_found` for another client's session */
export async function endSession(
  ctx: Ctx | Tx,
  input: { clientId: string; sessionId: string },
): Promise<SessionRecord> {
  return closeOwn(ctx, input, 'ended')
}

/** As {@link endSession}; the session is not shown any more. */
export async function removeSession(
  ctx: Ctx | Tx,
  input: { clientId: string; sessionId: string },
): Promise<SessionRecord> {
  return closeOwn(ctx, input, 'removed')
}

async function closeOwn(ctx: Ctx | Tx, input: { clientId: string; sessionId: string }, status: Ending) {
  return transaction(ctx, async (tx) => {
    const session = await getSession(tx, input.sessionId)
    if (session.clientId !== input.clientId) throw new UsherError('resource_not_found', 'There is no such session.')
    await closeSessions(tx, eq(sessions.id, session.id), status)
    return getSession(tx, session.id)
  })
}

/** Signs everybody out of a client. The client itself stays. */
export async function removeClientSessions(ctx: Ctx | Tx, clientId: string): Promise<void> {
  await transaction(ctx, (tx) => closeSessions(tx, eq(sessions.clientId, clientId), 'removed'))
}

/**
 * Revokes a session, whoever's it is: its tokens are not renewed and its sockets are closed.
 *
 * @param id of the session; `userId` narrows it to a person's own
 * @throws {UsherError} `resource_not_found`
 */
export async function revokeSession(ctx: Ctx | Tx, id: string, userId?: string): Promise<SessionRecord> {
  return transaction(ctx, async (tx) => {
    const session = await getSession(tx, id)
    if (userId !== undefined && session.userId !== userId)
      throw new UsherError('resource_not_found', 'There is no such session.')
    await closeSessions(tx, eq(sessions.id, id), 'revoked')
    return getSession(tx, id)
  })
}

/**
 * Revokes every session of a person, except one if named: after a new password, at a ban. Those in which they act for
 * somebody else are among them.
 */
export async function revokeUserSessions(
  ctx: Ctx | Tx,
  input: { userId: string; exceptSessionId?: string },
): Promise<number> {
  const { userId, exceptSessionId } = input
  const others = exceptSessionId ? ne(sessions.id, exceptSessionId) : undefined
  const theirs = or(eq(sessions.userId, userId), sql`${sessions.actor} ->> 'sub' = ${userId}`)
  return transaction(ctx, (tx) => closeSessions(tx, and(theirs, others), 'revoked'))
}
