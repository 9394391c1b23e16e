import { Hono } from 'hono'
import { z } from 'zod'
import {
  acceptInvitation,
  acceptSuggestion,
  enroll,
  findCreationDefaults,
  getInvitation,
  listMemberships,
  listOrganizationInvitations,
  listSuggestions,
  removeMember,
} from '../../domains/organizations/index.ts'
import { getUser } from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { presentInvitation, presentMembership } from '../presenters/organization.ts'
import { presentSuggestion } from '../presenters/organization-domain.ts'
import { type FrontendEnv, reply, requireSession } from './context.ts'

const statuses = z.array(z.enum(['pending', 'accepted', 'revoked', 'expired']))
const suggestionStatuses = z.array(z.enum(['pending', 'accepted']))

/** `/v1/me/organization_*`: the caller's own memberships and invitations. */
export function meOrganizationRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()

  routes.get('/me/organization_memberships', async (c) => {
    const { userId } = requireSession(c)
    const user = await getUser(c.var.ctx, userId)
    const page = await listMemberships(c.var.ctx, { ...Pagination.parse(c.req.query()), userIds: [userId] })
    return reply(c, { data: page.data.map((m) => presentMembership(m, user)), total_count: page.totalCount })
  })
  routes.delete('/me/organization_memberships/:organization', async (c) => {
    const { userId } = requireSession(c)
    const left = await removeMember(c.var.ctx, { organizationId: c.req.param('organization'), userId })
    return reply(c, { object: 'organization_membership', id: left.id, deleted: true })
  })

  routes.get('/me/organization_invitations', async (c) => {
    const { userId } = requireSession(c)
    const status = statuses.safeParse(c.req.queries('status') ?? c.req.queries('status[]') ?? []).data
    await enroll(c.var.ctx, userId)
    const page = await listOrganizationInvitations(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      emailAddresses: await provenAddresses(c.var.ctx, userId),
      status,
    })
    return reply(c, { data: page.data.map((i) => presentInvitation(i)), total_count: page.totalCount })
  })
  routes.post('/me/organization_invitations/:id/accept', async (c) => {
    const { userId } = requireSession(c)
    const invitationId = c.req.param('id')
    // An invitation to another address does not exist for this caller.
    const mine = await listOrganizationInvitations(c.var.ctx, {
      emailAddresses: await provenAddresses(c.var.ctx, userId),
      limit: 500,
      offset: 0,
    })
    if (!mine.data.some((i) => i.id === invitationId))
      throw new UsherError('resource_not_found', 'There is no such invitation.')
    const { organizationId } = await acceptInvitation(c.var.ctx, { invitationId, userId })
    return reply(c, presentInvitation(await getInvitation(c.var.ctx, { organizationId, invitationId })))
  })

  routes.get('/me/organization_suggestions', async (c) => {
    const { userId } = requireSession(c)
    const page = await listSuggestions(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      userId,
      status: suggestionStatuses.safeParse(c.req.queries('status') ?? c.req.queries('status[]') ?? []).data,
    })
    return reply(c, { data: page.data.map(presentSuggestion), total_count: page.totalCount })
  })
  routes.post('/me/organization_suggestions/:id/accept', async (c) => {
    const { userId } = requireSession(c)
    return reply(c, presentSuggestion(await acceptSuggestion(c.var.ctx, { suggestionId: c.req.param('id'), userId })))
  })
  routes.get('/me/organization_creation_defaults', async (c) => {
    const { userId } = requireSession(c)
    const { name, slug, existing } = await findCreationDefaults(c.var.ctx, userId)
    const advisory = existing && {
      code: 'organization_already_exists',
      severity: 'warning',
      meta: { organization_name: existing.name, organization_domain: existing.domain },
    }
    return reply(c, { advisory, form: { name, slug, logo: null, blur_hash: null } })
  })
  return routes
}

/** Only a proven address is the caller's: an invitation to it is theirs. */
async function provenAddresses(ctx: Ctx, userId: string): Promise<string[]> {
  const user = await getUser(ctx, userId)
  return user.emailAddresses.filter((e) => e.verifiedAt !== null).map((e) => e.emailAddress)
}
