import { inArray, lt } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { signIns } from './tables.ts'

/** Deletes sign-ins whose time is over, finished or not. @returns how many */
export async function deleteOverSignIns(tx: Tx, limit: number): Promise<number> {
  const old = tx.db.select({ id: signIns.id }).from(signIns).where(lt(signIns.abandonAt, tx.now())).limit(limit)
  return (await tx.db.delete(signIns).where(inArray(signIns.id, old)).returning({ id: signIns.id })).length
}
