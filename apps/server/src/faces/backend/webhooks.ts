import { type Context, Hono } from 'hono'
import { z } from 'zod'
import {
  closeAllPortals,
  createPortalLink,
  createWebhookEndpoint,
  type Delivery,
  deleteWebhookEndpoint,
  getWebhookEndpoint,
  getWebhookSecret,
  listDeliveries,
  listWebhookEndpoints,
  replayWebhooks,
  rotateWebhookSecret,
  sendTestWebhook,
  updateWebhookEndpoint,
  webhookEventTypes,
} from '../../domains/webhooks/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, isStorableMoment, jsonResponse } from '../http.ts'
import { presentWebhookEndpoint } from '../presenters/webhook-endpoint.ts'
import { presentEvents } from '../presenters/webhook-event.ts'
import { parseBody } from './input.ts'

const Endpoint = z.object({
  url: z.string().max(2048),
  description: z.string().max(500).optional(),
  /** Empty or null: everything. */
  event_types: z.array(z.string().max(100)).max(100).nullish(),
})
const CreateInput = Endpoint.extend({ secret: z.string().max(200).optional() })
const UpdateInput = Endpoint.partial().extend({ disabled: z.boolean().optional() })
const RotateInput = z.object({
  secret: z.string().max(200).optional(),
  overlap_hours: z.number().min(0).max(720).optional(),
})
const TestInput = z.object({ event_type: z.string().max(100).default('user.created') })
const Position = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const Moment = z
  .number()
  .transform((ms) => new Date(ms))
  .refine(isStorableMoment, 'a moment is a number of milliseconds')
const ReplayBody = z.object({
  after: Position.optional(),
  until: Position.optional(),
  /** Milliseconds since 1970, in place of positions. */
  since: Moment.optional(),
  before: Moment.optional(),
  failed_only: z.boolean().optional(),
})
const DeliveriesQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(50),
  before: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  run: z.coerce.number().int().min(0).max(2_147_483_647).default(0),
  state: z.enum(['delivered', 'waiting', 'failed', 'skipped']).optional(),
})

/** `/v1/webhooks` for the application's server: endpoints, their secrets, and what was delivered. */
export function webhookRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  const id = (c: Context<Env>) => c.req.param('id') ?? ''

  routes.get('/webhooks/event_types', () =>
    jsonResponse({
      data: Object.entries(webhookEventTypes).map(([name, description]) => ({ name, description })),
      total_count: Object.keys(webhookEventTypes).length,
    }),
  )

  routes.get('/webhooks/endpoints', async (c) => {
    const page = await listWebhookEndpoints(c.var.ctx, Pagination.parse(c.req.query()))
    return jsonResponse({ data: page.data.map(presentWebhookEndpoint), total_count: page.totalCount })
  })
  routes.post('/webhooks/endpoints', async (c) => {
    const { event_types: eventTypes, ...input } = await parseBody(c, CreateInput)
    const { endpoint, secret } = await createWebhookEndpoint(c.var.ctx, { ...input, eventTypes })
    return jsonResponse({ ...presentWebhookEndpoint(endpoint), secret })
  })
  routes.get('/webhooks/endpoints/:id', async (c) =>
    jsonResponse(presentWebhookEndpoint(await getWebhookEndpoint(c.var.ctx, id(c)))),
  )
  routes.patch('/webhooks/endpoints/:id', async (c) => {
    const { event_types: eventTypes, ...input } = await parseBody(c, UpdateInput)
    return jsonResponse(
      presentWebhookEndpoint(await updateWebhookEndpoint(c.var.ctx, { id: id(c), ...input, eventTypes })),
    )
  })
  routes.delete('/webhooks/endpoints/:id', async (c) => {
    await deleteWebhookEndpoint(c.var.ctx, id(c))
    return jsonResponse({ object: 'webhook_endpoint', id: id(c), deleted: true })
  })

  routes.get('/webhooks/endpoints/:id/secret', async (c) =>
    jsonResponse({ object: 'webhook_secret', secret: await getWebhookSecret(c.var.ctx, id(c)) }),
  )
  routes.post('/webhooks/endpoints/:id/secret/rotate', async (c) => {
    const { secret, overlap_hours: overlapHours } = await parseBody(c, RotateInput)
    const made = await rotateWebhookSecret(c.var.ctx, { id: id(c), secret, overlapHours })
    return jsonResponse({ object: 'webhook_secret', secret: made })
  })

  routes.post('/webhooks/endpoints/:id/test', async (c) => {
    const { event_type: type } = await parseBody(c, TestInput)
    const tools = { post: c.var.runtime.webhookPost, present: presentEvents }
    return jsonResponse(presentDelivery(await sendTestWebhook(c.var.ctx, { id: id(c), type }, tools)))
  })
  routes.get('/webhooks/endpoints/:id/deliveries', async (c) => {
    const query = DeliveriesQuery.parse(c.req.query())
    const { data, hasMore } = await listDeliveries(c.var.ctx, { endpointId: id(c), ...query })
    return jsonResponse({ object: 'list', data: data.map(presentDelivery), has_more: hasMore })
  })
  routes.post('/webhooks/endpoints/:id/replay', async (c) => {
    const { since, before, failed_only: failedOnly, ...range } = await parseBody(c, ReplayBody)
    const replay = await replayWebhooks(c.var.ctx, {
      endpointId: id(c),
      ...range,
      since,
      before,
      failedOnly,
    })
    return jsonResponse({ object: 'webhook_replay', ...replay })
  })

  // The SDK's names for the portal, after a service that is not used here.
  const link = async (c: Context<Env>) => jsonResponse({ svix_url: (await createPortalLink(c.var.ctx)).url })
  routes.post('/webhooks/svix', link)
  routes.post('/webhooks/svix_url', link)
  routes.delete('/webhooks/svix', async (c) => {
    await closeAllPortals(c.var.ctx)
    return c.body(null, 204)
  })
  return routes
}

function presentDelivery(delivery: Delivery) {
  return {
    object: 'webhook_delivery' as const,
    event_id: delivery.messageId,
    sequence: delivery.position,
    event_type: delivery.type,
    run: delivery.run,
    state: delivery.state,
    attempts: delivery.attempts,
    next_attempt_at: delivery.nextAttemptAt?.getTime() ?? null,
    response_status: delivery.responseStatus,
    error: delivery.error,
    duration_ms: delivery.durationMs,
    attempted_at: delivery.attemptedAt?.getTime() ?? null,
    created_at: delivery.createdAt.getTime(),
  }
}
