import { and, asc, desc, eq, gt, gte, ilike, lt, lte, or, type SQL, sql } from 'drizzle-orm'
import { escapeLike, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { requirePermission } from '../organizations/index.ts'
import type { AuditEntry } from './chain.ts'
import { auditChains, auditEntries } from './tables.ts'

export type AuditFilter = {
  /** `organizationMembership.updated`, or `organizationMembership.*` for all of a kind. */
  actions?: readonly string[] | undefined
  actorId?: string | undefined
  targetId?: string | undefined
  /** A part of a name, an id or an address. */
  query?: string | undefined
  since?: Date | undefined
  until?: Date | undefined
}

export type ListEntriesInput = AuditFilter & {
  /** Undefined: the log of the instance, of what belongs to no organization. */
  organizationId?: string | undefined
  /** Entries older than that at this place. */
  before?: number | undefined
  limit: number
}

/**
 * Entries of a log, the newest first.
 *
 * @throws {UsherError} `organization_not_found_or_unauthorized`, or `forbidden` without `org:sys_audit_log:read`
 */
export async function listEntries(
  ctx: Ctx | Tx,
  input: ListEntriesInput,
): Promise<{ data: AuditEntry[]; hasMore: boolean }> {
  return transaction(ctx, async (tx) => {
    const chain = await readableChain(tx, input.organizationId)
    const rows = await tx.db
      .select()
      .from(auditEntries)
      .where(
        and(matching(tx, chain, input), input.before === undefined ? undefined : lt(auditEntries.place, input.before)),
      )
      .orderBy(desc(auditEntries.place))
      .limit(input.limit + 1)
    return { data: rows.slice(0, input.limit), hasMore: rows.length > input.limit }
  })
}

/** A part of a log in the order in which it was written: for exports, which read part after part. */
export async function readEntries(
  tx: Tx,
  chain: string,
  input: AuditFilter & { after: number; limit: number },
): Promise<AuditEntry[]> {
  return tx.db
    .select()
    .from(auditEntries)
    .where(and(matching(tx, chain, input), gt(auditEntries.place, input.after)))
    .orderBy(asc(auditEntries.place))
    .limit(input.limit)
}

/**
 * The chain that a caller may read: its organization's, with the permission for it, or for the application's own server
 * any, also that of an organization which is gone.
 *
 * @throws {UsherError} as {@link listEntries}
 */
export async function readableChain(tx: Tx, organizationId: string | undefined): Promise<string> {
  if (organizationId !== undefined) await requirePermission(tx, organizationId, 'org:sys_audit_log:read')
  const isPerson = tx.actor.type !== 'backend' && tx.actor.type !== 'system'
  if (isPerson && organizationId === undefined)
    throw new UsherError('forbidden', 'The log of the instance is not for people.')
  if (organizationId === undefined || isPerson) return organizationId ?? tx.instance.id
  const [known] = await tx.db
    .select({ chain: auditChains.chain })
    .from(auditChains)
    .where(and(eq(auditChains.instanceId, tx.instance.id), eq(auditChains.chain, organizationId)))
  if (!known) throw new UsherError('resource_not_found', 'There is no log of such an organization.')
  return known.chain
}

function matching(tx: Tx, chain: string, filter: AuditFilter): SQL | undefined {
  const { actions, actorId, targetId, query, since, until } = filter
  return and(
    eq(auditEntries.instanceId, tx.instance.id),
    eq(auditEntries.chain, chain),
    actions && or(...actions.map(isAction)),
    actorId === undefined ? undefined : sql`${auditEntries.actor} ->> 'id' = ${actorId}`,
    targetId === undefined
      ? undefined
      : sql`${auditEntries.targets} @> ${JSON.stringify([{ id: targetId }])}::text::jsonb`,
    query === undefined ? undefined : contains(query),
    since && gte(auditEntries.occurredAt, since),
    until && lte(auditEntries.occurredAt, until),
  )
}

const isAction = (action: string) =>
  action.endsWith('.*')
    ? ilike(auditEntries.action, `${escapeLike(action.slice(0, -1))}%`)
    : eq(auditEntries.action, action)

function contains(query: string): SQL | undefined {
  const pattern = `%${escapeLike(query)}%`
  return or(
    ilike(auditEntries.action, pattern),
    sql`${auditEntries.actor}::text ilike ${pattern}`,
    sql`${auditEntries.targets}::text ilike ${pattern}`,
    sql`${auditEntries.data}::text ilike ${pattern}`,
  )
}
