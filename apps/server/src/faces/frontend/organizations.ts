import { Hono } from 'hono'
import { z } from 'zod'
import { deleteOrganizationLogo, setOrganizationLogo } from '../../domains/images/index.ts'
import {
  addMember,
  changeMemberRole,
  createOrganization,
  deleteOrganization,
  getOrganization,
  inviteMembers,
  listMemberships,
  listOrganizationInvitations,
  listOrganizationRoles,
  type MembershipRecord,
  removeMember,
  requireMember,
  requirePermission,
  revokeOrganizationInvitation,
  updateOrganization,
} from '../../domains/organizations/index.ts'
import { findUsers } from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { presentInvitation, presentMembership, presentOrganization, presentRole } from '../presenters/organization.ts'
import { readUpload } from '../upload.ts'
import { type FrontendEnv, limitByAddress, reply, requireSession } from './context.ts'
import { parseForm } from './forms.ts'

const Name = z.string().max(1000)
/** A repeated key is an array, a single one is not; the invitation form adds an empty entry of what was not typed. */
const oneOrMore = <T extends z.ZodType>(item: T) =>
  z.preprocess((v) => (Array.isArray(v) ? v : [v]).filter((entry) => entry !== ''), z.array(item).min(1).max(100))

const CreateInput = z.object({ name: Name, slug: z.string().max(200).optional() })
const UpdateInput = z.object({ name: Name.optional(), slug: z.string().max(200).optional() })
const RoleInput = z.object({ role: z.string().max(100) })
const MemberInput = RoleInput.extend({ user_id: z.string().max(100) })
const InviteInput = RoleInput.extend({ email_address: z.unknown() })
const InviteManyInput = RoleInput.extend({ email_address: oneOrMore(z.unknown()) })

const statuses = z.enum(['pending', 'accepted', 'revoked', 'expired'])

/** `/v1/organizations`: what the organization components call. Every rule is in the verbs. */
export function organizationRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.use('/organizations', async (c, next) => {
    requireSession(c)
    await next()
  })
  routes.use('/organizations/*', async (c, next) => {
    requireSession(c)
    await next()
  })

  routes.post('/organizations', async (c) => {
    const { name, slug } = await parseForm(c, CreateInput)
    return reply(c, presentOrganization(await createOrganization(c.var.ctx, { name, slug })))
  })
  routes.get('/organizations/:id', async (c) => {
    const id = c.req.param('id')
    await requireMember(c.var.ctx, id)
    return reply(c, presentOrganization(await getOrganization(c.var.ctx, id)))
  })
  routes.patch('/organizations/:id', async (c) => {
    const change = await parseForm(c, UpdateInput)
    return reply(c, presentOrganization(await updateOrganization(c.var.ctx, { id: c.req.param('id'), ...change })))
  })
  routes.delete('/organizations/:id', async (c) => {
    const { id, slug } = await deleteOrganization(c.var.ctx, c.req.param('id'))
    return reply(c, { object: 'organization', id, slug, deleted: true })
  })
  routes.put('/organizations/:id/logo', limitByAddress, async (c) => {
    const id = c.req.param('id')
    await requireMember(c.var.ctx, id)
    return reply(c, presentOrganization(await setOrganizationLogo(c.var.ctx, id, await readUpload(c))))
  })
  routes.delete('/organizations/:id/logo', async (c) =>
    reply(c, presentOrganization(await deleteOrganizationLogo(c.var.ctx, c.req.param('id')))),
  )

  routes.get('/organizations/:id/memberships', async (c) => {
    const organizationId = c.req.param('id')
    await requirePermission(c.var.ctx, organizationId, 'org:sys_memberships:read')
    const { data, totalCount } = await listMemberships(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      organizationId,
      roles: queriesOf(c.req.queries(), 'role'),
      query: c.req.query('query'),
    })
    return reply(c, { data: await withPeople(c.var.ctx, data), total_count: totalCount })
  })
  routes.post('/organizations/:id/memberships', async (c) => {
    const { user_id, role } = await parseForm(c, MemberInput)
    const made = await addMember(c.var.ctx, { organizationId: c.req.param('id'), userId: user_id, role })
    return reply(c, (await withPeople(c.var.ctx, [made]))[0])
  })
  routes.patch('/organizations/:id/memberships/:user', async (c) => {
    const { role } = await parseForm(c, RoleInput)
    const changed = await changeMemberRole(c.var.ctx, {
      organizationId: c.req.param('id'),
      userId: c.req.param('user'),
      role,
    })
    return reply(c, (await withPeople(c.var.ctx, [changed]))[0])
  })
  routes.delete('/organizations/:id/memberships/:user', async (c) => {
    const removed = await removeMember(c.var.ctx, { organizationId: c.req.param('id'), userId: c.req.param('user') })
    return reply(c, (await withPeople(c.var.ctx, [removed]))[0])
  })

  routes.get('/organizations/:id/invitations', async (c) => {
    const organizationId = c.req.param('id')
    await requirePermission(c.var.ctx, organizationId, 'org:sys_memberships:manage')
    const status = z.array(statuses).safeParse(queriesOf(c.req.queries(), 'status') ?? []).data
    const page = Pagination.parse(c.req.query())
    const { data, totalCount } = await listOrganizationInvitations(c.var.ctx, { ...page, organizationId, status })
    return reply(c, { data: data.map((i) => presentInvitation(i)), total_count: totalCount })
  })
  routes.post('/organizations/:id/invitations', async (c) => {
    const { email_address, role } = await parseForm(c, InviteInput)
    const made = await inviteMembers(c.var.ctx, [
      {
        organizationId: c.req.param('id'),
        emailAddress: email_address,
        role,
        publicUrl: c.var.publicUrl,
        redirectUrl: null,
      },
    ])
    return reply(c, made[0] && presentInvitation(made[0]))
  })
  routes.post('/organizations/:id/invitations/bulk', async (c) => {
    const { email_address, role } = await parseForm(c, InviteManyInput)
    const made = await inviteMembers(
      c.var.ctx,
      email_address.map((emailAddress) => ({
        organizationId: c.req.param('id'),
        emailAddress,
        role,
        publicUrl: c.var.publicUrl,
        redirectUrl: null,
      })),
    )
    return reply(
      c,
      made.map((i) => presentInvitation(i)),
    )
  })
  routes.post('/organizations/:id/invitations/:invitation/revoke', async (c) => {
    const revoked = await revokeOrganizationInvitation(c.var.ctx, {
      organizationId: c.req.param('id'),
      invitationId: c.req.param('invitation'),
    })
    return reply(c, presentInvitation(revoked))
  })

  routes.get('/organizations/:id/roles', async (c) => {
    await requirePermission(c.var.ctx, c.req.param('id'), 'org:sys_memberships:read')
    const { data, totalCount } = await listOrganizationRoles(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      organizationId: c.req.param('id'),
    })
    return reply(c, { data: data.map(presentRole), total_count: totalCount, has_role_set_migration: false })
  })

  // The components ask for these even where the feature is off; there are none.
  routes.get('/organizations/:id/enterprise_connections', async (c) => {
    await requireMember(c.var.ctx, c.req.param('id'))
    return reply(c, { data: [], total_count: 0 })
  })
  return routes
}

/** Adds the people of memberships: one query, however many. */
async function withPeople(ctx: Ctx, memberships: MembershipRecord[]) {
  const users = await findUsers(ctx, [...new Set(memberships.map((m) => m.userId))])
  return memberships.map((m) =>
    presentMembership(
      m,
      users.find((u) => u.id === m.userId),
    ),
  )
}

function queriesOf(queries: Record<string, string[]>, name: string): string[] | undefined {
  return queries[name] ?? queries[`${name}[]`]
}
