import { lt, or } from 'drizzle-orm'
import { deleteSome, type Tx } from '../../database/index.ts'
import { apiKeys } from './tables.ts'

/** Days for which a key that is over is still listed. */
const retentionDays = 90

/** Deletes keys that were revoked or ran out long ago. @returns how many rows went */
export function deleteOverApiKeys(tx: Tx, limit: number): Promise<number> {
  const longAgo = new Date(tx.now().getTime() - retentionDays * 86_400_000)
  return deleteSome(tx, apiKeys, or(lt(apiKeys.revokedAt, longAgo), lt(apiKeys.expiresAt, longAgo)), limit)
}
