import { Hono, type MiddlewareHandler } from 'hono'
import { z } from 'zod'
import {
  acceptMembershipRequest,
  attemptAffiliation,
  attemptOwnership,
  type BulkOutcome,
  createOrganizationDomain,
  deleteOrganizationDomain,
  getDomain,
  listMembershipRequests,
  listOrganizationDomains,
  type MembershipRequest,
  prepareAffiliation,
  prepareOwnership,
  rejectMembershipRequest,
  updateOrganizationDomain,
} from '../../domains/organizations/index.ts'
import { findUsers } from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { presentMembershipRequest, presentOrganizationDomain } from '../presenters/organization-domain.ts'
import { type FrontendEnv, limitByAddress, reply, requireSession } from './context.ts'
import { parseForm } from './forms.ts'

const modes = z.array(z.enum(['manual_invitation', 'automatic_invitation', 'automatic_suggestion']))
const requestStatuses = z.array(z.enum(['pending', 'accepted', 'rejected']))
const flag = z.preprocess((v) => v === true || v === 'true' || v === '1', z.boolean())

const CreateInput = z.object({ name: z.unknown(), enrollment_mode: z.unknown().optional() })
const ModeInput = z.object({ enrollment_mode: z.string().max(100), delete_pending: flag })
const PrepareInput = z.object({ affiliation_email_address: z.unknown() })
const AttemptInput = z.object({ code: z.unknown() })
const BulkInput = z.object({
  organization_domain_ids: z.preprocess((v) => [v ?? []].flat(), z.array(z.string().max(100)).min(1).max(100)),
})

/** Domains of an organization, and who asks to join it. Every rule is in the verbs. */
export function organizationDomainRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.use('/organizations/:id/domains/*', signedIn)
  routes.use('/organizations/:id/membership_requests/*', signedIn)

  routes.get('/organizations/:id/domains', async (c) => {
    const queries = c.req.queries()
    const page = await listOrganizationDomains(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      organizationId: c.req.param('id'),
      enrollmentModes: modes.safeParse(queries.enrollment_mode ?? queries['enrollment_mode[]'] ?? []).data,
    })
    const now = c.var.ctx.now()
    return reply(c, { data: page.data.map((d) => presentOrganizationDomain(d, now)), total_count: page.totalCount })
  })
  routes.post('/organizations/:id/domains', async (c) => {
    const { name, enrollment_mode } = await parseForm(c, CreateInput)
    const enrollmentMode = enrollment_mode === '' ? undefined : enrollment_mode
    const made = await createOrganizationDomain(c.var.ctx, {
      organizationId: c.req.param('id'),
      name,
      enrollmentMode,
    })
    return reply(c, presentOrganizationDomain(made, c.var.ctx.now()))
  })
  routes.post('/organizations/:id/domains/prepare_ownership_verification/bulk', limitByAddress, async (c) => {
    const { organization_domain_ids: domainIds } = await parseForm(c, BulkInput)
    const outcome = await prepareOwnership(c.var.ctx, { organizationId: c.req.param('id'), domainIds })
    return reply(c, presentBulk(outcome, c.var.ctx.now()))
  })
  routes.post('/organizations/:id/domains/attempt_ownership_verification/bulk', limitByAddress, async (c) => {
    const { organization_domain_ids: domainIds } = await parseForm(c, BulkInput)
    const outcome = await attemptOwnership(c.var.ctx, { organizationId: c.req.param('id'), domainIds })
    return reply(c, presentBulk(outcome, c.var.ctx.now()))
  })
  routes.get('/organizations/:id/domains/:domain', async (c) => {
    const found = await getDomain(c.var.ctx, keyOf(c.req.param()))
    return reply(c, presentOrganizationDomain(found, c.var.ctx.now()))
  })
  routes.delete('/organizations/:id/domains/:domain', async (c) => {
    const { id } = await deleteOrganizationDomain(c.var.ctx, keyOf(c.req.param()))
    return reply(c, { object: 'organization_domain', id, deleted: true })
  })
  routes.post('/organizations/:id/domains/:domain/update_enrollment_mode', async (c) => {
    const { enrollment_mode: enrollmentMode, delete_pending: deletePending } = await parseForm(c, ModeInput)
    const changed = await updateOrganizationDomain(c.var.ctx, {
      ...keyOf(c.req.param()),
      enrollmentMode,
      deletePending,
    })
    return reply(c, presentOrganizationDomain(changed, c.var.ctx.now()))
  })
  routes.post('/organizations/:id/domains/:domain/prepare_affiliation_verification', limitByAddress, async (c) => {
    const { affiliation_email_address: emailAddress } = await parseForm(c, PrepareInput)
    const prepared = await prepareAffiliation(c.var.ctx, { ...keyOf(c.req.param()), emailAddress })
    return reply(c, presentOrganizationDomain(prepared, c.var.ctx.now()))
  })
  routes.post('/organizations/:id/domains/:domain/attempt_affiliation_verification', limitByAddress, async (c) => {
    const { code } = await parseForm(c, AttemptInput)
    const verified = await attemptAffiliation(c.var.ctx, { ...keyOf(c.req.param()), code })
    return reply(c, presentOrganizationDomain(verified, c.var.ctx.now()))
  })

  for (const [path, verb] of [
    ['prepare_ownership_verification', prepareOwnership],
    ['attempt_ownership_verification', attemptOwnership],
  ] as const)
    routes.post(`/organizations/:id/domains/:domain/${path}`, limitByAddress, async (c) => {
      const { organizationId, domainId } = keyOf(c.req.param())
      const outcome = await verb(c.var.ctx, { organizationId, domainIds: [domainId] })
      const [error] = outcome.errors
      if (error) throw new UsherError(error.code, 'This domain is not proven by a record.')
      const [domain] = outcome.data
      return reply(c, domain && presentOrganizationDomain(domain, c.var.ctx.now()))
    })

  routes.get('/organizations/:id/membership_requests', async (c) => {
    const queries = c.req.queries()
    const page = await listMembershipRequests(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      organizationId: c.req.param('id'),
      status: requestStatuses.safeParse(queries.status ?? queries['status[]'] ?? []).data,
    })
    return reply(c, { data: await withPeople(c.var.ctx, page.data), total_count: page.totalCount })
  })
  routes.post('/organizations/:id/membership_requests/:request/accept', async (c) => {
    const { id: organizationId, request: requestId } = c.req.param()
    const accepted = await acceptMembershipRequest(c.var.ctx, { organizationId, requestId })
    return reply(c, (await withPeople(c.var.ctx, [accepted]))[0])
  })
  routes.post('/organizations/:id/membership_requests/:request/reject', async (c) => {
    const { id: organizationId, request: requestId } = c.req.param()
    const rejected = await rejectMembershipRequest(c.var.ctx, { organizationId, requestId })
    return reply(c, (await withPeople(c.var.ctx, [rejected]))[0])
  })
  return routes
}

const signedIn: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  requireSession(c)
  await next()
}

const keyOf = ({ id, domain }: { id: string; domain: string }) => ({ organizationId: id, domainId: domain })

function presentBulk({ data, errors }: BulkOutcome, now: Date) {
  return { data: data.map((d) => presentOrganizationDomain(d, now)), errors }
}

/** Adds the people who ask: one query, however many. */
async function withPeople(ctx: Ctx, requests: MembershipRequest[]) {
  const users = await findUsers(ctx, [...new Set(requests.map((r) => r.userId))])
  return requests.map((r) =>
    presentMembershipRequest(
      r,
      users.find((u) => u.id === r.userId),
    ),
  )
}
