import { Hono } from 'hono'
import { z } from 'zod'
import {
  addGroupMember,
  addGroupRole,
  createGroup,
  deleteGroup,
  getGroup,
  listGroupMembers,
  listGroups,
  removeGroupMember,
  removeGroupRole,
  updateGroup,
} from '../../domains/organizations/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentGroup, presentMembershipAccess } from '../presenters/access.ts'
import { Name, parseBody } from './input.ts'

const Input = z.object({ name: Name.min(1), description: z.string().max(1000).optional() })
const path = '/organizations/:organization/groups'

/** Teams inside an organization, for the application's server. */
export function groupRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get(path, async (c) => {
    const { data, totalCount } = await listGroups(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      organizationId: c.req.param('organization'),
      query: c.req.query('query'),
      userId: c.req.query('user_id'),
    })
    return jsonResponse({ data: data.map(presentGroup), total_count: totalCount })
  })
  routes.post(path, async (c) => {
    const input = await parseBody(c, Input)
    return jsonResponse(
      presentGroup(await createGroup(c.var.ctx, { organizationId: c.req.param('organization'), ...input })),
    )
  })
  routes.get(`${path}/:group`, async (c) => jsonResponse(presentGroup(await getGroup(c.var.ctx, named(c.req.param())))))
  routes.patch(`${path}/:group`, async (c) => {
    const change = await parseBody(c, Input.partial())
    return jsonResponse(presentGroup(await updateGroup(c.var.ctx, { ...named(c.req.param()), ...change })))
  })
  routes.delete(`${path}/:group`, async (c) => {
    const { id } = await deleteGroup(c.var.ctx, named(c.req.param()))
    return jsonResponse({ object: 'group', id, deleted: true })
  })

  routes.put(`${path}/:group/roles/:role`, async (c) => {
    const { role, ...params } = c.req.param()
    return jsonResponse(presentGroup(await addGroupRole(c.var.ctx, { ...named(params), role })))
  })
  routes.delete(`${path}/:group/roles/:role`, async (c) => {
    const { role, ...params } = c.req.param()
    return jsonResponse(presentGroup(await removeGroupRole(c.var.ctx, { ...named(params), role })))
  })

  routes.get(`${path}/:group/members`, async (c) => {
    const page = Pagination.parse(c.req.query())
    const { data, totalCount } = await listGroupMembers(c.var.ctx, { ...named(c.req.param()), ...page })
    return jsonResponse({ data: data.map(presentMembershipAccess), total_count: totalCount })
  })
  routes.put(`${path}/:group/members/:user`, async (c) => {
    const { user: userId, ...params } = c.req.param()
    return jsonResponse(presentMembershipAccess(await addGroupMember(c.var.ctx, { ...named(params), userId })))
  })
  routes.delete(`${path}/:group/members/:user`, async (c) => {
    const { user: userId, ...params } = c.req.param()
    return jsonResponse(presentMembershipAccess(await removeGroupMember(c.var.ctx, { ...named(params), userId })))
  })
  return routes
}

const named = ({ organization, group }: { organization: string; group: string }) => ({
  organizationId: organization,
  groupId: group,
})
