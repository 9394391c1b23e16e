import type { Context } from 'hono'
import { z } from 'zod'
import { exportEntries, listEntries } from '../domains/audit/index.ts'
import { UsherError } from '../kernel/errors.ts'
import { type Env, isStorableMoment } from './http.ts'
import { presentAuditEntry } from './presenters/audit-entry.ts'

const Instant = z
  .string()
  .transform((value) => new Date(/^-?\d+$/.test(value) ? Number(value) : value))
  .refine(isStorableMoment, 'a moment is milliseconds since 1970, or as 2030-01-31T12:00:00Z')
const Id = z.string().min(1).max(200)
const Filter = z.object({
  actor_id: Id.optional(),
  target_id: Id.optional(),
  query: z.string().min(1).max(200).optional(),
  since: Instant.optional(),
  until: Instant.optional(),
})
const Listing = Filter.extend({
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
})
const Export = Filter.extend({ format: z.enum(['csv', 'jsonl']).default('jsonl') })
const Action = z.array(z.string().regex(/^[A-Za-z]+\.(\*|[A-Za-z]+)$/)).max(50)

/** A page of a log, for both faces. @param organizationId undefined: the instance's own log */
export async function showAuditLog(c: Context<Env>, organizationId: string | undefined) {
  const { limit, cursor, ...filter } = Listing.parse(c.req.query())
  const { data, hasMore } = await listEntries(c.var.ctx, {
    ...filterOf(c, filter),
    organizationId,
    limit,
    before: cursor,
  })
  const last = data.at(-1)
  return {
    data: data.map(presentAuditEntry),
    has_more: hasMore,
    next_cursor: hasMore && last ? String(last.place) : null,
  }
}

/** A whole log as a file, sent while it is read. */
export async function sendAuditLog(c: Context<Env>, organizationId: string | undefined): Promise<Response> {
  const { format, ...filter } = Export.parse(c.req.query())
  const parts = await exportEntries(c.var.ctx, { ...filterOf(c, filter), organizationId, format })
  const iterator = parts[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next()
        if (done) controller.close()
        else controller.enqueue(encoder.encode(value))
      } catch (error) {
        // The answer ends without its last part, so the reader sees that it is not whole. What went wrong is for the log.
        c.var.log.error({ err: error }, 'an export of an audit log broke off')
        controller.error(new Error('the export broke off'))
      }
    },
    cancel: async () => void (await iterator.return?.()),
  })
  return new Response(body, {
    headers: {
      'content-type': format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
      'content-disposition': `attachment; filename="audit-log-${c.var.ctx.now().toISOString().slice(0, 10)}.${format}"`,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    },
  })
}

function filterOf(c: Context<Env>, { actor_id, target_id, query, since, until }: z.infer<typeof Filter>) {
  return { actions: actionsOf(c), actorId: actor_id, targetId: target_id, query, since, until }
}

function actionsOf(c: Context<Env>): string[] | undefined {
  const given = [...(c.req.queries('action') ?? []), ...(c.req.queries('action[]') ?? [])].flatMap((v) => v.split(','))
  if (given.length === 0) return undefined
  const actions = Action.safeParse(given)
  if (actions.success) return actions.data
  throw new UsherError('form_param_format_invalid', 'An action is organizationMembership.created, or organization.*', {
    param: 'action',
  })
}
