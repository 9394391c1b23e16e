import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { createApiKey, getApiKey, listApiKeys, revokeApiKey } from '../../domains/api-keys/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { jsonResponse } from '../http.ts'
import { presentApiKey } from '../presenters/api-key.ts'
import { type FrontendEnv, requireSession } from './context.ts'
import { parseForm } from './forms.ts'

const Subject = z.string().max(100).optional()
/** No scopes and no claims: what they mean is the application's to say, and not a page's. */
const CreateInput = z.object({
  type: z.literal('api_key').optional(),
  name: z.string().trim().min(1).max(256),
  subject: Subject,
  description: z.string().max(1000).nullish(),
  seconds_until_expiration: z.number().nullish(),
})
const RevokeInput = z.object({ revocation_reason: z.string().max(500).nullish() })
const ListQuery = Pagination.extend({
  subject: Subject,
  query: z.string().max(256).optional(),
  include_invalid: z.enum(['true', 'false']).default('false'),
})

/** Keys that one person may make and revoke in a minute. */
const limit = { max: 60, windowMs: 60_000 }

/** `/api_keys` for `<APIKeys/>`: one's own keys, or those of the active organization. */
export function apiKeyRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  const guard = async (c: Context<FrontendEnv>, next: () => Promise<void>) => {
    // A cookie alone, which a browser sends by itself, is not enough: the page has to show the session's token.
    if (!/^Bearer \S+$/i.test(c.req.header('authorization') ?? ''))
      throw new UsherError('authentication_invalid', 'Show the session’s token.')
    const { userId } = requireSession(c)
    const { instance, database, now } = c.var.ctx
    if (c.req.method !== 'GET') countAttempt(database, `api_keys:${instance.id}:${userId}`, limit, now())
    await next()
  }
  routes.use('/api_keys', guard)
  routes.use('/api_keys/*', guard)

  routes.get('/api_keys', async (c) => {
    const { include_invalid: includeInvalid, ...input } = ListQuery.parse(c.req.query())
    const page = await listApiKeys(c.var.ctx, { ...input, includeInvalid: includeInvalid === 'true' })
    return jsonResponse({ data: page.data.map((key) => presentApiKey(key)), total_count: page.totalCount })
  })
  routes.post('/api_keys', async (c) => {
    const { seconds_until_expiration: secondsUntilExpiration, ...input } = await parseForm(c, CreateInput)
    const { apiKey, secret } = await createApiKey(c.var.ctx, { ...input, secondsUntilExpiration })
    return jsonResponse(presentApiKey(apiKey, { secret }))
  })
  routes.get('/api_keys/:id', async (c) => jsonResponse(presentApiKey(await getApiKey(c.var.ctx, c.req.param('id')))))
  routes.post('/api_keys/:id/revoke', async (c) => {
    const { revocation_reason: reason } = await parseForm(c, RevokeInput)
    return jsonResponse(presentApiKey(await revokeApiKey(c.var.ctx, { id: c.req.param('id'), reason })))
  })
  return routes
}
