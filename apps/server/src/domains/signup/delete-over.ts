import { lt } from 'drizzle-orm'
import { deleteSome, type Tx } from '../../database/index.ts'
import { signUps } from './tables.ts'

/** Applications ask for sign-ups by id after they are done. */
const retentionMs = 30 * 86_400_000

/** Deletes sign-ups whose time was over long ago, finished or not. @returns how many */
export function deleteOverSignUps(tx: Tx, limit: number): Promise<number> {
  return deleteSome(tx, signUps, lt(signUps.abandonAt, new Date(tx.now().getTime() - retentionMs)), limit)
}
