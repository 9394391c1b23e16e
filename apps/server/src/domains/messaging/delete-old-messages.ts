import { and, lt, ne } from 'drizzle-orm'
import { deleteSome, type Tx } from '../../database/index.ts'
import { messages } from './tables.ts'

/** How long it can be seen what was sent to whom. What was said is gone earlier, see `MessageSender`. */
const keptMs = 30 * 86_400_000

/** Deletes messages of a month ago that are not waiting to be sent. @returns how many went, `limit` at most */
export function deleteOldMessages(tx: Tx, limit: number): Promise<number> {
  const before = new Date(tx.now().getTime() - keptMs)
  return deleteSome(tx, messages, and(lt(messages.createdAt, before), ne(messages.state, 'queued')), limit)
}
