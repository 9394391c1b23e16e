import { type Context, Hono } from 'hono'
import { z } from 'zod'
import {
  createFeature,
  deleteFeature,
  getFeature,
  grantFeature,
  type Holder,
  listFeatures,
  listFeaturesOf,
  updateFeature,
  withdrawFeature,
} from '../../domains/features/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentFeature, presentHeldFeature } from '../presenters/access.ts'
import { Name, parseBody } from './input.ts'

const Input = z.object({
  slug: z.string().max(50),
  name: Name.min(1),
  description: z.string().max(1000).optional(),
  avatar_url: z
    .url({ protocol: /^https?$/ })
    .max(2048)
    .nullish(),
  enabled: z.boolean().optional(),
  default_for: z.enum(['nobody', 'organizations', 'users', 'everyone']).optional(),
})
const GrantInput = z.object({ enabled: z.boolean().default(true) })

/** Features and who has them, for the application's server. */
export function featureRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/features', async (c) => {
    const input = { ...Pagination.parse(c.req.query()), query: c.req.query('query') }
    const { data, totalCount } = await listFeatures(c.var.ctx, input)
    return jsonResponse({ data: data.map(presentFeature), total_count: totalCount })
  })
  routes.post('/features', async (c) => {
    const { avatar_url: avatarUrl, default_for: defaultFor, ...input } = await parseBody(c, Input)
    return jsonResponse(presentFeature(await createFeature(c.var.ctx, { ...input, avatarUrl, defaultFor })))
  })
  routes.get('/features/:feature', async (c) =>
    jsonResponse(presentFeature(await getFeature(c.var.ctx, c.req.param('feature')))),
  )
  routes.patch('/features/:feature', async (c) => {
    const { avatar_url: avatarUrl, default_for: defaultFor, ...input } = await parseBody(c, Input.partial())
    const change = { ...input, avatarUrl, defaultFor }
    return jsonResponse(presentFeature(await updateFeature(c.var.ctx, { id: c.req.param('feature'), ...change })))
  })
  routes.delete('/features/:feature', async (c) => {
    const { id } = await deleteFeature(c.var.ctx, c.req.param('feature'))
    return jsonResponse({ object: 'feature', id, deleted: true })
  })

  const holders = [
    ['/organizations/:holder/features', (id: string): Holder => ({ organizationId: id })],
    ['/users/:holder/features', (id: string): Holder => ({ userId: id })],
  ] as const
  for (const [path, holderOf] of holders) {
    const paramsOf = (c: Context<Env>) => ({
      holder: holderOf(c.req.param('holder') ?? ''),
      feature: c.req.param('feature') ?? '',
    })
    routes.get(path, async (c) => {
      const data = await listFeaturesOf(c.var.ctx, paramsOf(c).holder)
      return jsonResponse({ data: data.map(presentHeldFeature), total_count: data.length })
    })
    routes.put(`${path}/:feature`, async (c) => {
      const { enabled } = await parseBody(c, GrantInput)
      return jsonResponse(presentHeldFeature(await grantFeature(c.var.ctx, { ...paramsOf(c), enabled })))
    })
    routes.delete(`${path}/:feature`, async (c) =>
      jsonResponse(presentHeldFeature(await withdrawFeature(c.var.ctx, paramsOf(c)))),
    )
  }
  return routes
}
