import { and, eq, gte, lt, min, sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { saveChain } from './record-events.ts'
import { auditChains, auditEntries } from './tables.ts'

/**
 * Deletes entries that are older than the instance keeps them: always the oldest of a chain, whose new beginning is
 * sealed in the same transaction.
 *
 * @returns how many went
 */
export async function deleteOldEntries(tx: Tx, limit: number): Promise<number> {
  const { retentionDays } = tx.instance.settings.audit
  if (retentionDays === 0) return 0
  const oldest = new Date(tx.now().getTime() - retentionDays * 86_400_000)
  const [due] = await tx.db
    .select({ chain: auditEntries.chain })
    .from(auditEntries)
    .where(and(eq(auditEntries.instanceId, tx.instance.id), lt(auditEntries.occurredAt, oldest)))
    .limit(1)
  if (!due) return 0
  const of = and(eq(auditEntries.instanceId, tx.instance.id), eq(auditEntries.chain, due.chain))
  const [chain] = await tx.db
    .select()
    .from(auditChains)
    .where(and(eq(auditChains.instanceId, tx.instance.id), eq(auditChains.chain, due.chain)))
    .for('update')
  if (!chain) return 0
  const [young] = await tx.db
    .select({ place: min(auditEntries.place) })
    .from(auditEntries)
    .where(and(of, gte(auditEntries.occurredAt, oldest)))
  const end = Math.min(young?.place ?? chain.lastPlace + 1, chain.firstPlace + limit)
  const [last] = await tx.db
    .select({ hash: auditEntries.hash })
    .from(auditEntries)
    .where(and(of, eq(auditEntries.place, end - 1)))
  // A chain that somebody tampered with is not tidied up: what is left of it is evidence.
  if (!last || end <= chain.firstPlace) return 0
  const gone = await tx.db
    .delete(auditEntries)
    .where(and(of, sql`${auditEntries.place} < ${end}`))
    .returning({ place: auditEntries.place })
  await saveChain(tx, { ...chain, firstPlace: end, firstPreviousHash: last.hash })
  return gone.length
}
