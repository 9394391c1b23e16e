import { asc, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type AuditEntry, areEndsSealed, type Chain, hashEntry, isCountSealed } from './chain.ts'
import { readEntries } from './list-entries.ts'
import { auditChains, auditCursors, auditEntries } from './tables.ts'

/** What is wrong at a place of a chain. `id` of the entry, unless it is gone. */
export type Tampering = { chain: string; place: number; id?: string; problem: string }
export type Verification = {
  chains: number
  entries: number
  /** Empty: everything is as it was written. */
  problems: Tampering[]
  /** Where each chain ends. Kept elsewhere, it shows later whether a chain was put back to an earlier state. */
  heads: Head[]
}
export type Head = { chain: string; place: number; hash: string }

const batchSize = 1000
/** How far around a place an entry's former place is looked for. */
const nearby = 500
/** More would say nothing new. */
const maxProblems = 1000

/**
 * Reads the chains of an instance and computes every hash again: an entry that was changed, removed, put in between or
 * moved is named.
 *
 * @param input.organizationId only its chain
 * @param input.heads of an earlier verification: what they name must still be there
 * @throws {UsherError} `resource_not_found` for an organization of which nothing is known
 */
export async function verifyChains(
  ctx: Ctx,
  input: { organizationId?: string | undefined; heads?: readonly Head[] | undefined } = {},
): Promise<Verification> {
  return transaction(
    ctx,
    async (tx) => {
      const known = await tx.db.select().from(auditChains).orderBy(asc(auditChains.chain))
      const isAsked = (chain: string) => input.organizationId === undefined || chain === input.organizationId
      const chains = known.filter(({ chain }) => isAsked(chain))
      const orphans = (await chainsWithoutEnds(tx, known)).filter(isAsked)
      const heads = input.heads?.filter(({ chain }) => isAsked(chain)) ?? []
      // No log is not a sound log: the name may be wrong, or all of it may be gone.
      if (input.organizationId !== undefined && [...chains, ...orphans, ...heads].length === 0)
        throw new UsherError('resource_not_found', 'There is no log of such an organization.')
      const result: Verification = { chains: chains.length, entries: 0, problems: [], heads: [] }
      for (const chain of chains) await verifyChain(tx, chain, result)
      for (const chain of orphans)
        result.problems.push({ chain, place: 1, problem: 'has entries, and nothing says where it begins and ends' })
      if (input.organizationId === undefined) await compareCount(tx, known, result)
      for (const head of heads) await compareHead(tx, head, known, result)
      return result
    },
    { snapshot: true },
  )
}

async function verifyChain(tx: Tx, chain: Chain, result: Verification): Promise<void> {
  const say = (place: number, problem: string, id?: string) => {
    if (result.problems.length < maxProblems)
      result.problems.push({ chain: chain.chain, place, problem, ...(id && { id }) })
  }
  if (!areEndsSealed(tx, chain)) say(chain.lastPlace, 'its recorded beginning and end are not those that Usher sealed')
  let place = chain.firstPlace
  let previousHash = chain.firstPreviousHash
  for (let after = 0; ; ) {
    const entries = await readEntries(tx, chain.chain, { after, limit: batchSize })
    for (const entry of entries) {
      result.entries += 1
      if (entry.place > place) say(place, gap(place, entry.place - 1))
      if (entry.place < chain.firstPlace) say(entry.place, 'stands before the beginning of the chain', entry.id)
      const broken = problemOf(tx, entry)
      if (broken) say(entry.place, broken, entry.id)
      else if (entry.place === place && entry.previousHash !== previousHash)
        say(entry.place - 1, `what entry ${entry.id} was written after has been replaced`)
      place = entry.place + 1
      previousHash = entry.hash
    }
    const last = entries.at(-1)
    if (!last || entries.length < batchSize) break
    after = last.place
  }
  if (place <= chain.lastPlace) say(place, gap(place, chain.lastPlace))
  else if (place > chain.lastPlace + 1) say(chain.lastPlace + 1, 'entries were added after the end of the chain')
  else if (previousHash !== chain.lastHash) say(chain.lastPlace, 'the last entry is not the one that was written last')
  result.heads.push({ chain: chain.chain, place: chain.lastPlace, hash: chain.lastHash })
}

/** A chain that is gone as a whole, or that is an older copy of itself, is sound: only the count of all tells. */
async function compareCount(tx: Tx, known: Chain[], { problems }: Verification): Promise<void> {
  const [cursor] = await tx.db.select().from(auditCursors).where(eq(auditCursors.instanceId, tx.instance.id))
  if (known.length === 0 && !cursor?.sealed) return
  const say = (problem: string) => problems.push({ chain: tx.instance.id, place: 0, problem })
  if (!cursor || !isCountSealed(tx, cursor))
    return void say('the count of all entries is not the one that Usher sealed')
  const there = known.reduce((sum, { lastPlace }) => sum + lastPlace, 0)
  if (there === cursor.entries) return
  const counts = `${cursor.entries} entries were written, and the logs reach to ${there}`
  say(`a log is gone, or was put back to an earlier state: ${counts}`)
}

/** An older copy of the whole chain is sound in itself, and shorter than it was known to be. */
async function compareHead(tx: Tx, head: Head, known: Chain[], { problems }: Verification): Promise<void> {
  const { chain, place } = head
  const ends = known.find((k) => k.chain === chain)
  // What went with its time is not missed, but its hash may be that of the beginning.
  if (ends && place < ends.firstPlace - 1) return
  const [entry] = await readEntries(tx, chain, { after: place - 1, limit: 1 })
  const hash = ends && place === ends.firstPlace - 1 ? ends.firstPreviousHash : entry?.place === place && entry.hash
  if (hash !== head.hash)
    problems.push({
      chain,
      place,
      problem: 'the log was known to reach here with another entry: it was put back or rewritten',
    })
}

const gap = (from: number, to: number) =>
  from === to ? `entry ${from} was removed` : `entries ${from} to ${to} were removed`

function problemOf(tx: Tx, { hash, ...entry }: AuditEntry): string | undefined {
  const { id } = tx.instance
  if (hashEntry(id, entry) === hash) return undefined
  for (let step = 1; step <= nearby; step += 1)
    for (const place of [entry.place - step, entry.place + step])
      if (place > 0 && hashEntry(id, { ...entry, place }) === hash) return `was moved here from place ${place}`
  return 'was changed'
}

async function chainsWithoutEnds(tx: Tx, known: Chain[]): Promise<string[]> {
  const rows = await tx.db
    .selectDistinct({ chain: auditEntries.chain })
    .from(auditEntries)
    .where(eq(auditEntries.instanceId, tx.instance.id))
  const names = new Set(known.map(({ chain }) => chain))
  return rows.map(({ chain }) => chain).filter((chain) => !names.has(chain))
}
