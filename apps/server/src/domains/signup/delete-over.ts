import { inArray, lt } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { signUps } from './tables.ts'

/** Applications ask for sign-ups by id after they are done. */
const retentionMs = 30 * 86_400_000

/** Deletes sign-ups whose time was over long ago, finished or not. @returns how many */
export async function deleteOverSignUps(tx: Tx, limit: number): Promise<number> {
  const before = new Date(tx.now().getTime() - retentionMs)
  const old = tx.db.select({ id: signUps.id }).from(signUps).where(lt(signUps.abandonAt, before)).limit(limit)
  return (await tx.db.delete(signUps).where(inArray(signUps.id, old)).returning({ id: signUps.id })).length
}
