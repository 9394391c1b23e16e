import { Hono } from 'hono'
import { z } from 'zod'
import {
  createJwtTemplate,
  deleteJwtTemplate,
  getJwtTemplate,
  type JwtTemplate,
  type JwtTemplateInput,
  listJwtTemplates,
  updateJwtTemplate,
} from '../../domains/sessions/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { parseBody } from './input.ts'

const TemplateInput = z.object({
  name: z.string(),
  claims: z.record(z.string(), z.unknown()),
  lifetime: z.number().nullish(),
  allowed_clock_skew: z.number().nullish(),
  custom_signing_key: z.boolean().nullish(),
  signing_algorithm: z.string().nullish(),
  signing_key: z.string().max(16_384).nullish(),
})

/** `/v1/jwt_templates` for the application's server. */
export function jwtTemplateRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/jwt_templates', async (c) => {
    const page = await listJwtTemplates(c.var.ctx, Pagination.parse(c.req.query()))
    const data = page.data.map(presentJwtTemplate)
    return jsonResponse(c.req.query('paginated') === 'true' ? { data, total_count: page.totalCount } : data)
  })
  routes.post('/jwt_templates', async (c) => {
    const input = inputOf(await parseBody(c, TemplateInput))
    return jsonResponse(presentJwtTemplate(await createJwtTemplate(c.var.ctx, input)))
  })
  routes.get('/jwt_templates/:id', async (c) =>
    jsonResponse(presentJwtTemplate(await getJwtTemplate(c.var.ctx, c.req.param('id')))),
  )
  routes.patch('/jwt_templates/:id', async (c) => {
    const input = inputOf(await parseBody(c, TemplateInput))
    return jsonResponse(presentJwtTemplate(await updateJwtTemplate(c.var.ctx, { ...input, id: c.req.param('id') })))
  })
  routes.delete('/jwt_templates/:id', async (c) => {
    const id = c.req.param('id')
    await deleteJwtTemplate(c.var.ctx, id)
    return jsonResponse({ object: 'jwt_template', id, deleted: true })
  })
  return routes
}

function inputOf(body: z.infer<typeof TemplateInput>): JwtTemplateInput {
  return {
    name: body.name,
    claims: body.claims,
    lifetime: body.lifetime ?? undefined,
    allowedClockSkew: body.allowed_clock_skew ?? undefined,
    customSigningKey: body.custom_signing_key ?? undefined,
    signingAlgorithm: body.signing_algorithm ?? undefined,
    signingKey: body.signing_key ?? undefined,
  }
}

/** A template without its key: that is written, and never read again. */
function presentJwtTemplate(template: JwtTemplate) {
  return {
    object: 'jwt_template' as const,
    id: template.id,
    name: template.name,
    claims: template.claims,
    lifetime: template.lifetime,
    allowed_clock_skew: template.allowedClockSkew,
    custom_signing_key: template.customSigningKey,
    signing_algorithm: template.signingAlgorithm,
    created_at: template.createdAt.getTime(),
    updated_at: template.updatedAt.getTime(),
  }
}
