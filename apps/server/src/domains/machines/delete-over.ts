import { inArray, lt } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { m2mTokens, machineSecretKeys } from './tables.ts'

/** Days for which a token that ran out is still listed. */
const retentionDays = 30

/** Deletes tokens that ran out long ago and keys that were replaced. @returns how many rows went */
export async function deleteOverMachineTokens(tx: Tx, limit: number): Promise<number> {
  const now = tx.now()
  const longAgo = new Date(now.getTime() - retentionDays * 86_400_000)
  const oldTokens = tx.db
    .select({ id: m2mTokens.id })
    .from(m2mTokens)
    .where(lt(m2mTokens.expiresAt, longAgo))
    .limit(limit)
  const tokens = await tx.db.delete(m2mTokens).where(inArray(m2mTokens.id, oldTokens)).returning({ id: m2mTokens.id })
  const oldKeys = tx.db
    .select({ id: machineSecretKeys.id })
    .from(machineSecretKeys)
    .where(lt(machineSecretKeys.expiresAt, now))
    .limit(limit)
  const keys = await tx.db
    .delete(machineSecretKeys)
    .where(inArray(machineSecretKeys.id, oldKeys))
    .returning({ id: machineSecretKeys.id })
  return tokens.length + keys.length
}
