import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { emit } from '../events/index.ts'
import type { AuditEntry } from './chain.ts'
import { type AuditFilter, readableChain, readEntries } from './list-entries.ts'

export type ExportFormat = 'csv' | 'jsonl'

const batchSize = 500
/** Of one person: an export reads a whole log. */
const exportLimit = { max: 10, windowMs: 60_000 }

/**
 * A log as text, part after part, the oldest entry first. That somebody took it stands in the log itself.
 *
 * @throws {UsherError} as `listEntries`, and `too_many_requests`, before the first part
 */
export async function exportEntries(
  ctx: Ctx,
  { organizationId, format, ...filter }: AuditFilter & { organizationId?: string | undefined; format: ExportFormat },
): Promise<AsyncIterable<string>> {
  if (ctx.actor.type === 'user')
    countAttempt(ctx.database, `${ctx.instance.id}:audit-export:${ctx.actor.userId}`, exportLimit, ctx.now())
  const { chain, first } = await transaction(ctx, async (tx) => {
    const readable = await readableChain(tx, organizationId)
    emit(tx, {
      type: 'auditLog.exported',
      subject: readable,
      data: { ...(organizationId !== undefined && { organization_id: organizationId }), format },
    })
    // What cannot be asked for is refused here, while an answer can still say so.
    return { chain: readable, first: await readEntries(tx, readable, { ...filter, after: 0, limit: batchSize }) }
  })
  return parts(ctx, chain, filter, format, first)
}

async function* parts(
  ctx: Ctx,
  chain: string,
  filter: AuditFilter,
  format: ExportFormat,
  first: AuditEntry[],
): AsyncIterable<string> {
  if (format === 'csv') yield `${columns.join(',')}\r\n`
  const read = (after: number) =>
    transaction(ctx, (tx) => readEntries(tx, chain, { ...filter, after, limit: batchSize }))
  for (let after = 0; ; ) {
    const entries = after === 0 ? first : await read(after)
    const last = entries.at(-1)
    if (!last) return
    const render = format === 'csv' ? csvRow : jsonLine
    yield entries.map((entry) => render(ctx.instance.id, entry)).join('')
    if (entries.length < batchSize) return
    after = last.place
  }
}

const jsonLine = (instanceId: string, entry: AuditEntry) => `${JSON.stringify(exportedEntry(instanceId, entry))}\n`

/** All that the hash of an entry is made of, by the names that it has on the wire. */
function exportedEntry(instanceId: string, { previousHash, occurredAt, ...entry }: AuditEntry) {
  const { id, chain, place, position, action, actor, targets, context, data, hash } = entry
  const at = occurredAt.toISOString()
  return {
    instance_id: instanceId,
    id,
    chain,
    place,
    position,
    occurred_at: at,
    action,
    actor,
    targets,
    context,
    data,
    hash,
    previous_hash: previousHash,
  }
}

const columns = [
  ...[
    'id',
    'chain',
    'place',
    'position',
    'occurred_at',
    'action',
    'actor_type',
    'actor_id',
    'actor_name',
    'impersonator',
  ],
  ...['targets', 'ip', 'user_agent', 'data', 'hash', 'previous_hash', 'instance_id'],
]

function csvRow(instanceId: string, entry: AuditEntry): string {
  const { actor, targets, context, data } = entry
  const cells = [
    ...[entry.id, entry.chain, entry.place, entry.position, entry.occurredAt.toISOString(), entry.action],
    ...[actor.type, actor.id, actor.name ?? '', actor.impersonator ?? '', JSON.stringify(targets)],
    ...[context.ip ?? '', context.user_agent ?? '', JSON.stringify(data), entry.hash, entry.previousHash, instanceId],
  ]
  return `${cells.map((cell) => csvCell(String(cell))).join(',')}\r\n`
}

/** What begins a formula; the wide forms do in East Asian locales. */
const formula = '[=+\\-@＝＋－＠]'
const atStart = new RegExp(`^\\s*${formula}|^[\\t\\r\\n]`)
/** Where lists are separated by semicolons, a spreadsheet begins a new cell there, whatever is quoted. */
const afterSeparator = new RegExp(`([;\\t]["\\s]*)(?=${formula})`, 'g')

/** RFC 4180; and what a spreadsheet would take for a formula begins with an apostrophe. */
export function csvCell(text: string): string {
  const harmless = (atStart.test(text) ? `'${text}` : text).replace(afterSeparator, "$1'")
  return /[",\r\n']/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
