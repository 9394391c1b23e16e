import { inArray, lt, or } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { apiKeys } from './tables.ts'

/** Days for which a key that is over is still listed. */
const retentionDays = 90

/** Deletes keys that were revoked or ran out long ago. @returns how many rows went */
export async function deleteOverApiKeys(tx: Tx, limit: number): Promise<number> {
  const longAgo = new Date(tx.now().getTime() - retentionDays * 86_400_000)
  const old = tx.db
    .select({ id: apiKeys.id })
    .from(apiKeys)
    .where(or(lt(apiKeys.revokedAt, longAgo), lt(apiKeys.expiresAt, longAgo)))
    .limit(limit)
  return (await tx.db.delete(apiKeys).where(inArray(apiKeys.id, old)).returning({ id: apiKeys.id })).length
}
