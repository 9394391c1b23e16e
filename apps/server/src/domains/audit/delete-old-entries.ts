import { and, eq, gte, lt, min } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import type { Chain } from './chain.ts'
import { saveChain } from './record-events.ts'
import { auditChains, auditEntries } from './tables.ts'

/** Chains that one call looks at. */
const maxChains = 100

/**
 * Deletes entries that are older than the instance keeps them: always the oldest of a chain, whose new beginning is
 * sealed in the same transaction.
 *
 * @returns how many went, `limit` at most
 */
export async function deleteOldEntries(tx: Tx, limit: number): Promise<number> {
  const { retentionDays } = tx.instance.settings.audit
  if (retentionDays === 0) return 0
  const oldest = new Date(tx.now().getTime() - retentionDays * 86_400_000)
  const due = await tx.db
    .select({ chain: auditChains.chain })
    .from(auditChains)
    .innerJoin(auditEntries, and(ofChain(tx), eq(auditEntries.place, auditChains.firstPlace)))
    .where(and(eq(auditChains.instanceId, tx.instance.id), lt(auditEntries.occurredAt, oldest)))
    .limit(maxChains)
  let total = 0
  for (const { chain } of due) if (total < limit) total += await shorten(tx, chain, oldest, limit - total)
  return total
}

const ofChain = (tx: Tx) => and(eq(auditEntries.instanceId, tx.instance.id), eq(auditEntries.chain, auditChains.chain))

async function shorten(tx: Tx, name: string, oldest: Date, limit: number): Promise<number> {
  const [chain] = await tx.db
    .select()
    .from(auditChains)
    .where(and(eq(auditChains.instanceId, tx.instance.id), eq(auditChains.chain, name)))
    .for('update')
  const last = chain && (await lastToGo(tx, chain, oldest, limit))
  if (!last) return 0
  const gone = await tx.db
    .delete(auditEntries)
    .where(and(within(tx, name), lt(auditEntries.place, last.place + 1)))
    .returning({ place: auditEntries.place })
  await saveChain(tx, { ...chain, firstPlace: last.place + 1, firstPreviousHash: last.hash }, chain)
  return gone.length
}

const within = (tx: Tx, chain: string) =>
  and(eq(auditEntries.instanceId, tx.instance.id), eq(auditEntries.chain, chain))

/** Undefined also where it was tampered with: what is left of such a chain is evidence, and is not tidied up. */
async function lastToGo(tx: Tx, { chain, firstPlace, lastPlace }: Chain, oldest: Date, limit: number) {
  const [young] = await tx.db
    .select({ place: min(auditEntries.place) })
    .from(auditEntries)
    .where(and(within(tx, chain), gte(auditEntries.occurredAt, oldest)))
  const place = Math.min(young?.place ?? lastPlace + 1, firstPlace + limit) - 1
  if (place < firstPlace) return undefined
  const [last] = await tx.db
    .select({ place: auditEntries.place, hash: auditEntries.hash })
    .from(auditEntries)
    .where(and(within(tx, chain), eq(auditEntries.place, place)))
  return last
}
