import { lt } from 'drizzle-orm'
import { deleteSome, type Tx } from '../../database/index.ts'
import { m2mTokens, machineSecretKeys } from './tables.ts'

/** Days for which a token that ran out is still listed. */
const retentionDays = 30

/** Deletes tokens that ran out long ago and keys that were replaced. @param limit rows of each @returns how many rows went */
export async function deleteOverMachineTokens(tx: Tx, limit: number): Promise<number> {
  const now = tx.now()
  const longAgo = new Date(now.getTime() - retentionDays * 86_400_000)
  const tokens = await deleteSome(tx, m2mTokens, lt(m2mTokens.expiresAt, longAgo), limit)
  return tokens + (await deleteSome(tx, machineSecretKeys, lt(machineSecretKeys.expiresAt, now), limit))
}
