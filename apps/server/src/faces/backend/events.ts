import { Hono } from 'hono'
import { z } from 'zod'
import { listEvents, type StreamEvent } from '../../domains/events/index.ts'
import { messageIdOf } from '../../domains/webhooks/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentEvents } from '../presenters/webhook-event.ts'
import { instantOf, repeated } from './input.ts'

const Query = z.object({
  after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  limit: z.coerce.number().int().min(1).max(500).default(100),
  subject: z.string().max(255).optional(),
})
const typePattern = /^[a-zA-Z]{1,60}\.(\*|[a-zA-Z]{1,60})$/

/**
 * `/v1/events` for the application's server: what happened, in its order. Whoever keeps the cursor of the last answer and
 * asks for what comes after it misses nothing and gets nothing twice.
 */
export function eventRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/events', async (c) => {
    const types = [...new Set([...(repeated(c, 'type') ?? []), ...(repeated(c, 'types') ?? [])])]
    const bad = types.find((type) => !typePattern.test(type))
    if (bad !== undefined || types.length > 50)
      throw new UsherError('form_param_value_invalid', 'A type is written as user.created or user.*.', {
        param: 'type',
      })
    const { after, limit, subject } = Query.parse(c.req.query())
    const since = instantOf(c, 'since')
    const { ctx } = c.var
    const part = await listEvents(ctx, { after, limit, subject, since, types: types.length > 0 ? types : undefined })
    const data = await presentEvents(ctx, part.data)
    // With nothing more to read, the next question begins where the stream ended and not at the last event that fitted.
    const cursor = part.hasMore ? (part.data.at(-1)?.position ?? after) : Math.max(after, part.head)
    return jsonResponse({
      object: 'list',
      data: part.data.map((event, i) => presentStreamEvent(event, data[i])),
      has_more: part.hasMore,
      cursor,
    })
  })
  return routes
}

function presentStreamEvent(event: StreamEvent, data: object | undefined) {
  return {
    object: 'event' as const,
    id: messageIdOf(event),
    sequence: event.position,
    type: event.type,
    subject: event.subject,
    timestamp: event.createdAt.getTime(),
    instance_id: event.instanceId,
    actor: event.actor,
    data: data ?? { id: event.subject, deleted: true },
  }
}
