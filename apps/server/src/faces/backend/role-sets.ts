import { type Context, Hono } from 'hono'
import { z } from 'zod'
import {
  addRolesToRoleSet,
  createRoleSet,
  getRoleSet,
  listRoleSets,
  type RoleSetChange,
  updateRoleSet,
} from '../../domains/access/index.ts'
import { replaceRoleInRoleSet, replaceRoleSet } from '../../domains/organizations/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentRoleSet } from '../presenters/access.ts'
import { Name, parseBody } from './input.ts'

const Key = z.string().max(120)
const Keys = z.array(Key).min(1).max(10)
const CreateInput = z.object({
  name: Name.min(1),
  key: Key.nullish(),
  description: z.string().max(1000).nullish(),
  type: z.enum(['initial', 'custom']).nullish(),
  roles: Keys,
  default_role_key: Key,
  creator_role_key: Key,
})
const UpdateInput = CreateInput.omit({ roles: true })
  .extend({ name: Name.min(1).nullish(), default_role_key: Key.nullish(), creator_role_key: Key.nullish() })
  .partial()
const AddInput = z.object({
  role_keys: Keys,
  default_role_key: Key.nullish(),
  creator_role_key: Key.nullish(),
})
const ReplaceRoleInput = z.object({ role_key: Key, to_role_key: Key })
const ReplaceInput = z.object({ dest_role_set_key: Key, reassignment_mappings: z.record(Key, Key).nullish() })

/** `/v1/role_sets` for the application's server. */
export function roleSetRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/role_sets', async (c) => {
    const { data, totalCount } = await listRoleSets(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      query: c.req.query('query'),
      orderBy: c.req.query('order_by'),
    })
    return jsonResponse({ data: data.map(presentRoleSet), total_count: totalCount })
  })
  routes.post('/role_sets', async (c) => {
    const input = await parseBody(c, CreateInput)
    const change = await createRoleSet(c.var.ctx, {
      ...fieldsOf(input),
      name: input.name,
      roles: input.roles,
      ...rolesOf(input),
    })
    return reply(c, change)
  })
  routes.get('/role_sets/:id', async (c) =>
    jsonResponse(presentRoleSet(await getRoleSet(c.var.ctx, c.req.param('id')))),
  )
  routes.patch('/role_sets/:id', async (c) => {
    const input = await parseBody(c, UpdateInput)
    return reply(c, await updateRoleSet(c.var.ctx, { id: c.req.param('id'), ...fieldsOf(input), ...namedOf(input) }))
  })
  routes.post('/role_sets/:id/roles', async (c) => {
    const input = await parseBody(c, AddInput)
    return reply(
      c,
      await addRolesToRoleSet(c.var.ctx, { id: c.req.param('id'), roles: input.role_keys, ...namedOf(input) }),
    )
  })
  routes.post('/role_sets/:id/roles/replace', async (c) => {
    const { role_key: role, to_role_key: to } = await parseBody(c, ReplaceRoleInput)
    return reply(c, await replaceRoleInRoleSet(c.var.ctx, { id: c.req.param('id'), role, to }))
  })
  routes.post('/role_sets/:id/replace', async (c) => {
    const { dest_role_set_key: to, reassignment_mappings: mappings } = await parseBody(c, ReplaceInput)
    const { id } = await replaceRoleSet(c.var.ctx, { id: c.req.param('id'), to, mappings: mappings ?? undefined })
    return jsonResponse({ object: 'role_set', id, deleted: true })
  })
  return routes
}

/** The roles for new members of the initial set stand in the instance's settings. */
async function reply(c: Context<Env>, { roleSet, settings }: RoleSetChange): Promise<Response> {
  const { defaultRole, creatorRole } = c.var.instance.settings.organizations
  if (settings && (settings.defaultRole !== defaultRole || settings.creatorRole !== creatorRole))
    await c.var.runtime.instances.changeSettings(c.var.instance.id, { organizations: settings })
  return jsonResponse(presentRoleSet(roleSet))
}

const rolesOf = (input: { default_role_key: string; creator_role_key: string }) => ({
  defaultRole: input.default_role_key,
  creatorRole: input.creator_role_key,
})
const namedOf = (input: {
  default_role_key?: string | null | undefined
  creator_role_key?: string | null | undefined
}) => ({
  defaultRole: input.default_role_key ?? undefined,
  creatorRole: input.creator_role_key ?? undefined,
})
type Fields = z.infer<typeof UpdateInput>
const fieldsOf = ({ name, key, description, type }: Pick<Fields, 'name' | 'key' | 'description' | 'type'>) => ({
  ...(name && { name }),
  ...(key && { key }),
  ...(typeof description === 'string' && { description }),
  ...(type && { type }),
})
