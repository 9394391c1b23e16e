import { Hono } from 'hono'
import { z } from 'zod'
import { channelLimits, listChannelMessages, publishMessage } from '../../domains/channels/index.ts'
import { type Env, jsonResponse } from '../http.ts'
import { parseBody } from './input.ts'

const Body = z.strictObject({ name: z.string().max(64), data: z.unknown().optional() })
const Query = z.object({
  before: z.coerce.number().int().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(channelLimits.historyLimit).default(channelLimits.historyLimit),
})

/** `/v1/channels/:channel/messages` for the application's server: it says something, and reads what was said. */
export function channelRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.post('/channels/:channel/messages', async (c) => {
    const { name, data } = await parseBody(c, Body)
    const channel = c.req.param('channel')
    const key = c.req.header('idempotency-key')
    const { epoch, offset, at } = await publishMessage(c.var.ctx, { channel, name, data, key })
    return jsonResponse({ object: 'channel_message', channel, epoch, offset, at })
  })
  routes.get('/channels/:channel/messages', async (c) => {
    const channel = c.req.param('channel')
    const { epoch, offset, messages } = await listChannelMessages(c.var.ctx, { channel, ...Query.parse(c.req.query()) })
    const data = messages.map((message) => ({ object: 'channel_message', ...JSON.parse(message) }))
    return jsonResponse({ object: 'list', data, channel, epoch, offset })
  })
  return routes
}
