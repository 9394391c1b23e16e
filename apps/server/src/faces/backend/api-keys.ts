import { Hono } from 'hono'
import { z } from 'zod'
import {
  createApiKey,
  deleteApiKey,
  getApiKey,
  getApiKeySecret,
  listApiKeys,
  revokeApiKey,
  updateApiKey,
  verifyApiKey,
} from '../../domains/api-keys/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentApiKey } from '../presenters/api-key.ts'
import { Metadata, parseBody } from './input.ts'

const Id = z.string().min(1).max(100)
const Changes = z.object({
  description: z.string().max(1000).nullish(),
  scopes: z.array(z.string()).max(1000).optional(),
  claims: Metadata.nullish(),
  seconds_until_expiration: z.number().nullish(),
})
const CreateInput = Changes.extend({
  type: z.literal('api_key').optional(),
  name: z.string().trim().min(1).max(256),
  subject: Id,
  created_by: Id.nullish(),
})
const UpdateInput = Changes.extend({ subject: Id.optional() })
const RevokeInput = z.object({ revocation_reason: z.string().max(500).nullish() })
const VerifyInput = z.object({ secret: z.string().max(1000) })
const ListQuery = Pagination.extend({
  type: z.literal('api_key').optional(),
  subject: Id,
  query: z.string().max(256).optional(),
  include_invalid: z.enum(['true', 'false']).default('false'),
})

/** `/api_keys`, at the root for the SDKs and under `/v1`: keys of people and organizations, for the application's server. */
export function apiKeyRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.post('/api_keys', async (c) => {
    const input = await parseBody(c, CreateInput)
    const { apiKey, secret } = await createApiKey(c.var.ctx, {
      ...input,
      createdBy: input.created_by,
      secondsUntilExpiration: input.seconds_until_expiration,
    })
    return jsonResponse(presentApiKey(apiKey, { secret }))
  })
  routes.get('/api_keys', async (c) => {
    const { include_invalid: includeInvalid, ...input } = ListQuery.parse(c.req.query())
    const page = await listApiKeys(c.var.ctx, { ...input, includeInvalid: includeInvalid === 'true' })
    return jsonResponse({ data: page.data.map((key) => presentApiKey(key)), total_count: page.totalCount })
  })
  routes.post('/api_keys/verify', async (c) => {
    const { secret } = await parseBody(c, VerifyInput)
    return jsonResponse(presentApiKey(await verifyApiKey(c.var.ctx, secret), { effective: true }))
  })
  routes.get('/api_keys/:id', async (c) => jsonResponse(presentApiKey(await getApiKey(c.var.ctx, c.req.param('id')))))
  routes.patch('/api_keys/:id', async (c) => {
    const { seconds_until_expiration: secondsUntilExpiration, ...input } = await parseBody(c, UpdateInput)
    const id = c.req.param('id')
    return jsonResponse(presentApiKey(await updateApiKey(c.var.ctx, { id, ...input, secondsUntilExpiration })))
  })
  routes.delete('/api_keys/:id', async (c) => {
    const id = c.req.param('id')
    await deleteApiKey(c.var.ctx, id)
    return jsonResponse({ object: 'api_key', id, deleted: true })
  })
  routes.get('/api_keys/:id/secret', async (c) =>
    jsonResponse({ secret: await getApiKeySecret(c.var.ctx, c.req.param('id')) }),
  )
  routes.post('/api_keys/:id/revoke', async (c) => {
    const { revocation_reason: reason } = await parseBody(c, RevokeInput)
    return jsonResponse(presentApiKey(await revokeApiKey(c.var.ctx, { id: c.req.param('id'), reason })))
  })
  return routes
}
