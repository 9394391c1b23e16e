import { createHash } from 'node:crypto'
import type { Ctx } from '../../kernel/ctx.ts'
import { seal, unseal } from '../../kernel/secrets.ts'
import type { auditChains, auditCursors, auditEntries } from './tables.ts'

export type AuditEntry = Omit<typeof auditEntries.$inferSelect, 'instanceId'>
export type Chain = typeof auditChains.$inferSelect
type Hashed = Omit<AuditEntry, 'hash'>

/** The hash before the first entry of a chain: that of nothing. */
export const noHash = '0'.repeat(64)

/**
 * Hash of an entry: SHA-256 over the JSON of an array of its fields, whose objects have their keys in order. Anybody who
 * has an export can compute it again.
 */
export function hashEntry(instanceId: string, entry: Hashed): string {
  const { chain, place, id, position, occurredAt, action, actor, targets, context, data, previousHash } = entry
  const fields = [
    'usher/audit/v1',
    ...[instanceId, chain, place, id, position, occurredAt.toISOString(), action],
    ...[actor, targets, context, data].map(inOrder),
    previousHash,
  ]
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex')
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, entry]) => [name, inOrder(entry)]))
}

type Ends = Pick<Chain, 'chain' | 'firstPlace' | 'firstPreviousHash' | 'lastPlace' | 'lastHash'>

const ends = ({ firstPlace, firstPreviousHash, lastPlace, lastHash }: Ends) =>
  JSON.stringify([firstPlace, firstPreviousHash, lastPlace, lastHash])
const purpose = (ctx: Ctx, chain: string) => `audit_chain:${ctx.instance.id}:${chain}`

/** Seals where a chain begins and ends. */
export function sealEnds(ctx: Ctx, chain: Ends): string {
  return seal(ctx.database.keyring, purpose(ctx, chain.chain), ends(chain))
}

/** Whether a chain's ends are those that were sealed. */
export function areEndsSealed(ctx: Ctx, chain: Chain): boolean {
  return isSealed(ctx, purpose(ctx, chain.chain), chain.sealed, ends(chain))
}

function isSealed({ database }: Ctx, purpose: string, sealed: string, content: string): boolean {
  try {
    return unseal(database.keyring, purpose, sealed) === content
  } catch {
    return false
  }
}

export type Cursor = typeof auditCursors.$inferSelect
type Count = Pick<Cursor, 'position' | 'entries'>

const countOf = ({ position, entries }: Count) => JSON.stringify([position, entries])
const countPurpose = ({ instance }: Ctx) => `audit_count:${instance.id}`

/** Seals how far an instance's stream was read and how many entries came of it. */
export function sealCount(ctx: Ctx, count: Count): string {
  return seal(ctx.database.keyring, countPurpose(ctx), countOf(count))
}

/** Whether the count of an instance's entries is the one that was sealed. */
export function isCountSealed(ctx: Ctx, cursor: Cursor): boolean {
  return isSealed(ctx, countPurpose(ctx), cursor.sealed, countOf(cursor))
}
