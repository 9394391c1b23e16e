import { and, lt, or, sql } from 'drizzle-orm'
import { deleteSome, type Tx } from '../../database/index.ts'
import { oneTimeTokens, textMessageCounts, verificationCodes } from './tables.ts'

/** For a day the answer is still why a code or a token is refused; then there is none. */
const retentionMs = 86_400_000

/**
 * Deletes codes and one-time tokens that ran out, and counts of text messages of days gone by.
 *
 * @param limit rows of each kind at most
 * @returns how many rows went
 */
export async function deleteOverVerifications(tx: Tx, limit: number): Promise<number> {
  const before = new Date(tx.now().getTime() - retentionMs)
  const codes = await deleteSome(tx, verificationCodes, lt(verificationCodes.expiresAt, before), limit)
  const over = or(lt(oneTimeTokens.expiresAt, before), spentRefresh(before))
  const tokens = await deleteSome(tx, oneTimeTokens, over, limit)
  const counts = await tx.db
    .delete(textMessageCounts)
    .where(lt(textMessageCounts.windowStart, new Date(before.getTime() - retentionMs)))
    .returning({ scope: textMessageCounts.scope })
  return codes + tokens + counts.length
}

/** A browser uses up many of these in the life of its session. */
const spentRefresh = (before: Date) => and(sql`${oneTimeTokens.kind} = 'refresh'`, lt(oneTimeTokens.consumedAt, before))
