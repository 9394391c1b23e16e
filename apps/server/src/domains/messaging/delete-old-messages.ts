import { and, inArray, lt, ne } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { messages } from './tables.ts'

/** How long it can be seen what was sent to whom. What was said is gone earlier, see `MessageSender`. */
const keptMs = 30 * 86_400_000

/** Deletes messages of a month ago that are not waiting to be sent. @returns how many went, `limit` at most */
export async function deleteOldMessages(tx: Tx, limit: number): Promise<number> {
  const old = tx.db
    .select({ id: messages.id })
    .from(messages)
    .where(and(lt(messages.createdAt, new Date(tx.now().getTime() - keptMs)), ne(messages.state, 'queued')))
    .limit(limit)
  const gone = await tx.db.delete(messages).where(inArray(messages.id, old)).returning({ id: messages.id })
  return gone.length
}
