import { inArray, type SQL } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Tx } from './transaction.ts'

/**
 * Deletes rows of which a condition is true, so few at a time that nobody waits long for a lock on what goes.
 *
 * @param limit rows at most
 * @returns how many went; fewer than `limit`: there are no more
 */
export async function deleteSome(
  tx: Tx,
  table: PgTable & { id: PgColumn },
  condition: SQL | undefined,
  limit: number,
): Promise<number> {
  // Without a condition it would be all rows of everybody.
  if (!condition) throw new Error('deleteSome needs a condition')
  const some = tx.db
    .select({ id: table.id })
    .from(table as PgTable)
    .where(condition)
    .limit(limit)
  return (await tx.db.delete(table).where(inArray(table.id, some)).returning({ id: table.id })).length
}
