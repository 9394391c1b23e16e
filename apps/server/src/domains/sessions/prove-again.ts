import { and, eq, inArray } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { sessions } from './tables.ts'

/** Notes that a session's person has just shown a factor again: its age begins anew. @throws {UsherError} `signed_out` */
export async function noteFactors(
  tx: Tx,
  input: { sessionId: string; first: boolean; second: boolean },
): Promise<void> {
  const now = tx.now()
  const [row] = await tx.db
    .update(sessions)
    .set({ ...(input.first && { firstFactorAt: now }), ...(input.second && { secondFactorAt: now }), updatedAt: now })
    .where(and(eq(sessions.id, input.sessionId), inArray(sessions.status, ['active', 'pending'])))
    .returning()
  if (!row) throw new UsherError('signed_out', 'This session has ended.')
  const data = { session_id: row.id, user_id: row.userId, client_id: row.clientId }
  emit(tx, { type: 'session.updated', subject: row.id, data })
}

/** Sessions of a person that wait for a new password wait no more. */
export async function notePasswordReset(tx: Tx, userId: string): Promise<void> {
  const rows = await tx.db
    .update(sessions)
    .set({ resetPasswordRequired: false, updatedAt: tx.now() })
    .where(and(eq(sessions.userId, userId), eq(sessions.resetPasswordRequired, true)))
    .returning()
  for (const row of rows) {
    const data = { session_id: row.id, user_id: row.userId, client_id: row.clientId }
    emit(tx, { type: 'session.updated', subject: row.id, data })
  }
}
