import { and, eq, inArray, sql } from 'drizzle-orm'
import { type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { newId } from '../../kernel/ids.ts'
import { listEvents, type StreamEvent } from '../events/index.ts'
import { findUsers } from '../users/index.ts'
import {
  type AuditEntry,
  areEndsSealed,
  type Chain,
  type Cursor,
  hashEntry,
  isCountSealed,
  noHash,
  sealCount,
  sealEnds,
} from './chain.ts'
import { actorOf, chainOf, detailsOf, targetsOf } from './describe-event.ts'
import { type AuditContext, type AuditObject, auditChains, auditCursors, auditEntries } from './tables.ts'

/** Events that are read at once. */
export const batchSize = 500

/**
 * Writes what the stream has told since the last time into the log. Of several servers one does it at a time.
 *
 * @returns how many events were read; undefined: another server is at it
 */
export async function recordEvents(ctx: Ctx): Promise<number | undefined> {
  return transaction(ctx, async (tx) => {
    const cursor = await claimCursor(tx)
    if (cursor === undefined) return undefined
    const { data: found } = await listEvents(tx, { after: cursor.position, limit: batchSize })
    const last = found.at(-1)
    if (!last) return 0
    // As with the ends of chains: what somebody else counted is not sealed by counting on.
    const isOurs = cursor.sealed === '' ? await isFirst(tx, cursor) : isCountSealed(tx, cursor)
    const count = { position: last.position, entries: cursor.entries + (await append(tx, found)) }
    await tx.db
      .update(auditCursors)
      .set({ ...count, ...(isOurs && { sealed: sealCount(tx, count) }) })
      .where(eq(auditCursors.instanceId, tx.instance.id))
    return found.length
  })
}

/** Holds the cursor until the transaction ends. Undefined: somebody else does. */
async function claimCursor(tx: Tx): Promise<Cursor | undefined> {
  const instanceId = tx.instance.id
  await tx.db.insert(auditCursors).values({ instanceId, position: 0 }).onConflictDoNothing()
  const [cursor] = await tx.db.select().from(auditCursors).for('update', { skipLocked: true })
  return cursor
}

/** Whether nothing was written before. */
async function isFirst(tx: Tx, { position, entries }: Cursor): Promise<boolean> {
  if (position !== 0 || entries !== 0) return false
  return (await tx.db.$count(auditChains, eq(auditChains.instanceId, tx.instance.id))) === 0
}

/** @returns how many entries were written */
async function append(tx: Tx, found: StreamEvent[]): Promise<number> {
  const told = found.flatMap((event) => {
    const chain = chainOf(event)
    return chain === undefined ? [] : [{ event, chain }]
  })
  if (told.length === 0) return 0
  const nameOf = await namesOf(
    tx,
    told.map(({ event }) => event),
  )
  const known = await readChains(tx, [...new Set(told.map(({ chain }) => chain))])
  const chains = new Map(known)
  const rows: AuditEntry[] = []
  for (const { event, chain: name } of told) {
    const chain = chains.get(name) ?? begin(tx, name)
    const entry = {
      id: newId('auditEntry'),
      chain: name,
      place: chain.lastPlace + 1,
      position: event.position,
      action: event.type,
      actor: nameOf(actorOf(event)),
      targets: targetsOf(event).map(nameOf),
      context: (event.context ?? {}) as AuditContext,
      data: detailsOf(event),
      occurredAt: event.createdAt,
      previousHash: chain.lastHash,
    }
    const hash = hashEntry(tx.instance.id, entry)
    rows.push({ ...entry, hash })
    chains.set(name, { ...chain, lastPlace: entry.place, lastHash: hash })
  }
  await tx.db.insert(auditEntries).values(rows.map((row) => ({ ...row, instanceId: tx.instance.id })))
  for (const chain of chains.values()) await saveChain(tx, chain, known.get(chain.chain))
  return rows.length
}

function begin(tx: Tx, chain: string): Chain {
  const ends = { chain, firstPlace: 1, firstPreviousHash: noHash, lastPlace: 0, lastHash: noHash }
  return { instanceId: tx.instance.id, ...ends, sealed: '' }
}

async function readChains(tx: Tx, names: string[]): Promise<Map<string, Chain>> {
  const rows = await tx.db
    .select()
    .from(auditChains)
    .where(and(eq(auditChains.instanceId, tx.instance.id), inArray(auditChains.chain, names)))
    .for('update')
  const chains = new Map(rows.map((row) => [row.chain, row]))
  for (const { chain, place, hash } of await readLastEntries(tx, names)) {
    const known = chains.get(chain)
    if (known && place <= known.lastPlace) continue
    // Somebody took the record of the chain away, or added to its end. The log goes on behind that, and stays unsound.
    chains.set(chain, { ...(known ?? begin(tx, chain)), lastPlace: place, lastHash: hash, sealed: '' })
  }
  return chains
}

async function readLastEntries(tx: Tx, names: string[]) {
  const rows = await tx.db.execute<{ chain: string; place: string; hash: string }>(sql`
    select e.chain, e.place, e.hash from unnest(${textArray(names)}::text[]) as named(chain) cross join lateral (
      select * from audit_entries where instance_id = ${tx.instance.id} and chain = named.chain order by place desc limit 1) e`)
  return [...rows].map(({ chain, place, hash }) => ({ chain, place: Number(place), hash }))
}

/**
 * Writes where a chain begins and ends now.
 *
 * @param before as it was read; undefined: it is new. Ends that somebody else wrote are not sealed by going on from them,
 *   or what was forged would pass as Usher's with the next entry: such a chain stays unsound for good
 */
export async function saveChain(tx: Tx, chain: Chain, before: Chain | undefined): Promise<void> {
  const row = { ...chain, sealed: !before || areEndsSealed(tx, before) ? sealEnds(tx, chain) : before.sealed }
  await tx.db
    .insert(auditChains)
    .values(row)
    .onConflictDoUpdate({ target: [auditChains.instanceId, auditChains.chain], set: row })
}

/** People are known by an address or a name, as long as they are there; the log keeps it. */
async function namesOf(tx: Tx, found: StreamEvent[]): Promise<<T extends AuditObject>(named: T) => T> {
  const people = found.flatMap((event) => [actorOf(event), ...targetsOf(event)]).filter(({ type }) => type === 'user')
  const users = await findUsers(tx, [...new Set(people.map(({ id }) => id))])
  const names = new Map(users.map((user) => [user.id, nameOfUser(user)]))
  return (named) => {
    const name = named.type === 'user' ? names.get(named.id) : undefined
    return name === undefined ? named : { ...named, name }
  }
}

function nameOfUser(user: Awaited<ReturnType<typeof findUsers>>[number]): string | undefined {
  const primary = user.emailAddresses.find(({ id }) => id === user.primaryEmailAddressId) ?? user.emailAddresses[0]
  const whole = [user.firstName, user.lastName].filter(Boolean).join(' ')
  return primary?.emailAddress ?? user.username ?? (whole || undefined)
}
