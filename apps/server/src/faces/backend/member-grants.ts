import { Hono } from 'hono'
import { z } from 'zod'
import {
  addMemberPermission,
  addMemberRole,
  createOrganizationRole,
  deleteOrganizationRole,
  getMembership,
  getOrganization,
  listOrganizationRoles,
  removeMemberPermission,
  removeMemberRole,
  updateOrganizationRole,
} from '../../domains/organizations/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentMembershipAccess } from '../presenters/access.ts'
import { presentRole } from '../presenters/organization.ts'
import { Name, parseBody } from './input.ts'

const OwnRoleInput = z.object({
  key: z.string().max(120),
  name: Name.min(1),
  description: z.string().max(1000).optional(),
  permissions: z.array(z.string()).max(500).optional(),
})
const PrimaryInput = z.object({ primary: z.boolean().optional() })
const member = '/organizations/:organization/memberships/:user'
const ownRoles = '/organizations/:organization/roles'

/** Roles and permissions of single members, and roles of single organizations, for the application's server. */
export function memberGrantRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get(`${member}/access`, async (c) =>
    jsonResponse(presentMembershipAccess(await getMembership(c.var.ctx, named(c.req.param())))),
  )
  routes.put(`${member}/roles/:role`, async (c) => {
    const { role, ...params } = c.req.param()
    const { primary } = await parseBody(c, PrimaryInput)
    return jsonResponse(presentMembershipAccess(await addMemberRole(c.var.ctx, { ...named(params), role, primary })))
  })
  routes.delete(`${member}/roles/:role`, async (c) => {
    const { role, ...params } = c.req.param()
    return jsonResponse(presentMembershipAccess(await removeMemberRole(c.var.ctx, { ...named(params), role })))
  })
  routes.put(`${member}/permissions/:permission`, async (c) => {
    const { permission, ...params } = c.req.param()
    return jsonResponse(presentMembershipAccess(await addMemberPermission(c.var.ctx, { ...named(params), permission })))
  })
  routes.delete(`${member}/permissions/:permission`, async (c) => {
    const { permission, ...params } = c.req.param()
    return jsonResponse(
      presentMembershipAccess(await removeMemberPermission(c.var.ctx, { ...named(params), permission })),
    )
  })

  routes.get(ownRoles, async (c) => {
    const { id: organizationId } = await getOrganization(c.var.ctx, c.req.param('organization'))
    const { data, totalCount } = await listOrganizationRoles(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      organizationId,
      query: c.req.query('query'),
      orderBy: c.req.query('order_by'),
    })
    return jsonResponse({ data: data.map(presentRole), total_count: totalCount })
  })
  routes.post(ownRoles, async (c) => {
    const input = await parseBody(c, OwnRoleInput)
    const made = await createOrganizationRole(c.var.ctx, { organizationId: c.req.param('organization'), ...input })
    return jsonResponse(presentRole(made))
  })
  routes.patch(`${ownRoles}/:role`, async (c) => {
    const { organization: organizationId, role: roleId } = c.req.param()
    const change = await parseBody(c, OwnRoleInput.partial())
    return jsonResponse(presentRole(await updateOrganizationRole(c.var.ctx, { organizationId, roleId, ...change })))
  })
  routes.delete(`${ownRoles}/:role`, async (c) => {
    const { organization: organizationId, role: roleId } = c.req.param()
    const { id } = await deleteOrganizationRole(c.var.ctx, { organizationId, roleId })
    return jsonResponse({ object: 'role', id, deleted: true })
  })
  return routes
}

const named = ({ organization, user }: { organization: string; user: string }) => ({
  organizationId: organization,
  userId: user,
})
