import { type Context, Hono } from 'hono'
import { z } from 'zod'
import {
  createPermission,
  createRole,
  deletePermission,
  deleteRole,
  getPermission,
  getRole,
  grantPermission,
  listPermissions,
  listRoles,
  updatePermission,
  updateRole,
  withdrawPermission,
} from '../../domains/access/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentPermission, presentRole } from '../presenters/organization.ts'
import { Name, parseBody } from './input.ts'

const Description = z.string().max(1000)
const RoleInput = z.object({
  key: z.string().max(120),
  name: Name.min(1),
  description: Description.nullish(),
  permissions: z.array(z.string()).max(500).nullish(),
  include_in_initial_role_set: z.boolean().nullish(),
})
const RoleChange = RoleInput.extend({
  key: RoleInput.shape.key.nullish(),
  name: RoleInput.shape.name.nullish(),
}).partial()
const PermissionInput = z.object({ key: z.string().max(120), name: Name.min(1), description: Description.nullish() })

/** `/v1/organization_roles` and `/v1/organization_permissions` for the application's server. */
export function roleRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/organization_roles', async (c) => {
    const { data, totalCount } = await listRoles(c.var.ctx, listInput(c))
    return jsonResponse({ data: data.map(presentRole), total_count: totalCount })
  })
  routes.post('/organization_roles', async (c) => {
    const { key, name, description, permissions, include_in_initial_role_set } = await parseBody(c, RoleInput)
    const made = await createRole(c.var.ctx, {
      key,
      name,
      ...(description && { description }),
      permissionIds: permissions ?? [],
      inInitialRoleSet: include_in_initial_role_set ?? undefined,
    })
    return jsonResponse(presentRole(made))
  })
  routes.get('/organization_roles/:id', async (c) =>
    jsonResponse(presentRole(await getRole(c.var.ctx, c.req.param('id')))),
  )
  routes.patch('/organization_roles/:id', async (c) => {
    const { key, name, description, permissions } = await parseBody(c, RoleChange)
    const changed = await updateRole(c.var.ctx, {
      id: c.req.param('id'),
      ...(key && { key }),
      ...(name && { name }),
      ...(typeof description === 'string' && { description }),
      ...(permissions && { permissionIds: permissions }),
    })
    return jsonResponse(presentRole(changed))
  })
  routes.delete('/organization_roles/:id', async (c) => {
    const { id } = await deleteRole(c.var.ctx, c.req.param('id'))
    return jsonResponse({ object: 'role', id, deleted: true })
  })
  routes.post('/organization_roles/:id/permissions/:permission', async (c) => {
    const { id: roleId, permission: permissionId } = c.req.param()
    return jsonResponse(presentRole(await grantPermission(c.var.ctx, { roleId, permissionId })))
  })
  routes.delete('/organization_roles/:id/permissions/:permission', async (c) => {
    const { id: roleId, permission: permissionId } = c.req.param()
    return jsonResponse(presentRole(await withdrawPermission(c.var.ctx, { roleId, permissionId })))
  })

  routes.get('/organization_permissions', async (c) => {
    const { data, totalCount } = await listPermissions(c.var.ctx, listInput(c))
    return jsonResponse({ data: data.map(presentPermission), total_count: totalCount })
  })
  routes.post('/organization_permissions', async (c) => {
    const { key, name, description } = await parseBody(c, PermissionInput)
    return jsonResponse(
      presentPermission(await createPermission(c.var.ctx, { key, name, ...(description && { description }) })),
    )
  })
  routes.get('/organization_permissions/:id', async (c) =>
    jsonResponse(presentPermission(await getPermission(c.var.ctx, c.req.param('id')))),
  )
  routes.patch('/organization_permissions/:id', async (c) => {
    const { key, name, description } = await parseBody(c, PermissionInput.partial())
    const changed = await updatePermission(c.var.ctx, {
      id: c.req.param('id'),
      ...(key && { key }),
      ...(name && { name }),
      ...(typeof description === 'string' && { description }),
    })
    return jsonResponse(presentPermission(changed))
  })
  routes.delete('/organization_permissions/:id', async (c) => {
    const { id } = await deletePermission(c.var.ctx, c.req.param('id'))
    return jsonResponse({ object: 'permission', id, deleted: true })
  })
  return routes
}

const listInput = (c: Context<Env>) => ({
  ...Pagination.parse(c.req.query()),
  query: c.req.query('query'),
  orderBy: c.req.query('order_by'),
})
