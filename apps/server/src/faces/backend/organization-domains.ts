import { Hono } from 'hono'
import { z } from 'zod'
import { EnrollmentMode } from '../../domains/instances/index.ts'
import {
  createOrganizationDomain,
  deleteOrganizationDomain,
  getDomain,
  getOrganization,
  listOrganizationDomains,
  updateOrganizationDomain,
} from '../../domains/organizations/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentOrganizationDomain } from '../presenters/organization-domain.ts'
import { parseBody, repeated } from './input.ts'

const CreateInput = z.object({
  name: z.unknown(),
  enrollment_mode: z.string().max(100).nullish(),
  verified: z.boolean().nullish(),
})
const UpdateInput = z.object({
  name: z.string().max(300).nullish(),
  enrollment_mode: z.string().max(100).nullish(),
  verified: z.boolean().nullish(),
})

const flag = z.stringbool({ truthy: ['true'], falsy: ['false'] }).optional()

/** `/v1/organizations/:id/domains` and the list across them, for the application's server, which may verify a domain on its word. */
export function organizationDomainRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/organizations/:id/domains', async (c) => {
    const { id: organizationId } = await getOrganization(c.var.ctx, c.req.param('id'))
    const page = await listOrganizationDomains(c.var.ctx, { ...Pagination.parse(c.req.query()), organizationId })
    const now = c.var.ctx.now()
    return jsonResponse({
      data: page.data.map((d) => presentOrganizationDomain(d, now)),
      total_count: page.totalCount,
    })
  })
  routes.get('/organization_domains', async (c) => {
    const page = await listOrganizationDomains(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      organizationId: c.req.query('organization_id'),
      enrollmentModes: z.array(EnrollmentMode).parse(repeated(c, 'enrollment_mode') ?? []),
      verified: flag.parse(c.req.query('verified')),
      names: repeated(c, 'domain')?.map((name) => name.toLowerCase()),
    })
    const now = c.var.ctx.now()
    return jsonResponse({
      data: page.data.map((d) => presentOrganizationDomain(d, now)),
      total_count: page.totalCount,
    })
  })
  routes.post('/organizations/:id/domains', async (c) => {
    const input = await parseBody(c, CreateInput)
    const made = await createOrganizationDomain(c.var.ctx, {
      organizationId: c.req.param('id'),
      name: input.name,
      enrollmentMode: input.enrollment_mode ?? undefined,
      verified: input.verified ?? undefined,
    })
    return jsonResponse(presentOrganizationDomain(made, c.var.ctx.now()))
  })
  routes.patch('/organizations/:id/domains/:domain', async (c) => {
    const { id: organizationId, domain: domainId } = c.req.param()
    const input = await parseBody(c, UpdateInput)
    if (input.name != null && input.name !== (await getDomain(c.var.ctx, { organizationId, domainId })).name)
      throw new UsherError('form_param_unknown', 'A domain cannot be renamed: delete it and add the other one.', {
        param: 'name',
      })
    const changed = await updateOrganizationDomain(c.var.ctx, {
      organizationId,
      domainId,
      enrollmentMode: input.enrollment_mode ?? undefined,
      verified: input.verified ?? undefined,
    })
    return jsonResponse(presentOrganizationDomain(changed, c.var.ctx.now()))
  })
  routes.delete('/organizations/:id/domains/:domain', async (c) => {
    const { id: organizationId, domain: domainId } = c.req.param()
    const { id } = await deleteOrganizationDomain(c.var.ctx, { organizationId, domainId })
    return jsonResponse({ object: 'organization_domain', id, deleted: true })
  })
  return routes
}
