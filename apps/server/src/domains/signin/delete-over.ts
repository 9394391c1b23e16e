import { lt } from 'drizzle-orm'
import { deleteSome, type Tx } from '../../database/index.ts'
import { signIns } from './tables.ts'

/** Deletes sign-ins whose time is over, finished or not. @returns how many */
export function deleteOverSignIns(tx: Tx, limit: number): Promise<number> {
  return deleteSome(tx, signIns, lt(signIns.abandonAt, tx.now()), limit)
}
