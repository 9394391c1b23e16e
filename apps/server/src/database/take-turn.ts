import { sql } from 'drizzle-orm'
import type { Tx } from './transaction.ts'

/**
 * Waits until nobody else in the instance has this turn, and keeps it until the transaction ends. For rules that no
 * index can hold, such as "at most so many": what is counted behind it stays true until the commit. What was read
 * before it may be out of date.
 *
 * @param what names the turn, with the id of what it is about where there is one
 */
export async function takeTurn(tx: Tx, what: string): Promise<void> {
  await tx.db.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`${tx.instance.id}:${what}`}, 0))`)
}
