import { Hono } from 'hono'
import { z } from 'zod'
import {
  createMachine,
  createScope,
  deleteMachine,
  deleteScope,
  getMachine,
  getSecretKey,
  listMachines,
  rotateSecretKey,
  updateMachine,
} from '../../domains/machines/index.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentMachine, presentMachineScope } from '../presenters/machine.ts'
import { Name, parseBody } from './input.ts'

const Id = z.string().min(1).max(100)
const CreateInput = z.object({
  name: Name.min(1),
  default_token_ttl: z.number().int().optional(),
  scoped_machines: z.array(Id).max(150).optional(),
})
const UpdateInput = CreateInput.omit({ scoped_machines: true }).partial()
const RotateInput = z.object({ previous_token_ttl: z.number().int() })
const ScopeInput = z.object({ to_machine_id: Id })
const ListQuery = Pagination.extend({
  query: z.string().max(256).optional(),
  order_by: z
    .string()
    .regex(/^[+ -]?(name|created_at)$/)
    .default('-created_at'),
})

/** Machines, their keys and whom they may talk to, for the application's server. */
export function machineRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/machines', async (c) => {
    const { order_by: order, ...input } = ListQuery.parse(c.req.query())
    const page = await listMachines(c.var.ctx, {
      ...input,
      order: { by: order.endsWith('name') ? 'name' : 'created_at', descending: order.startsWith('-') },
    })
    return jsonResponse({ data: page.data.map((machine) => presentMachine(machine)), total_count: page.totalCount })
  })
  routes.post('/machines', async (c) => {
    const input = await parseBody(c, CreateInput)
    const { machine, secretKey } = await createMachine(c.var.ctx, {
      name: input.name,
      defaultTokenTtl: input.default_token_ttl,
      scopedMachines: input.scoped_machines,
    })
    return jsonResponse(presentMachine(machine, secretKey))
  })
  routes.get('/machines/:id', async (c) => jsonResponse(presentMachine(await getMachine(c.var.ctx, c.req.param('id')))))
  routes.patch('/machines/:id', async (c) => {
    const { name, default_token_ttl: defaultTokenTtl } = await parseBody(c, UpdateInput)
    return jsonResponse(
      presentMachine(await updateMachine(c.var.ctx, { id: c.req.param('id'), name, defaultTokenTtl })),
    )
  })
  routes.delete('/machines/:id', async (c) => {
    const { id } = await deleteMachine(c.var.ctx, c.req.param('id'))
    return jsonResponse({ object: 'machine', id, deleted: true })
  })

  routes.get('/machines/:id/secret_key', async (c) =>
    jsonResponse({ object: 'machine_secret_key', secret: await getSecretKey(c.var.ctx, c.req.param('id')) }),
  )
  routes.post('/machines/:id/secret_key/rotate', async (c) => {
    const { previous_token_ttl: previousTokenTtl } = await parseBody(c, RotateInput)
    const secret = await rotateSecretKey(c.var.ctx, { machineId: c.req.param('id'), previousTokenTtl })
    return jsonResponse({ object: 'machine_secret_key', secret })
  })

  routes.post('/machines/:id/scopes', async (c) => {
    const { to_machine_id: toMachineId } = await parseBody(c, ScopeInput)
    return jsonResponse(
      presentMachineScope(await createScope(c.var.ctx, { fromMachineId: c.req.param('id'), toMachineId })),
    )
  })
  routes.delete('/machines/:id/scopes/:other', async (c) => {
    const input = { fromMachineId: c.req.param('id'), toMachineId: c.req.param('other') }
    await deleteScope(c.var.ctx, input)
    return jsonResponse({
      object: 'machine_scope',
      from_machine_id: input.fromMachineId,
      to_machine_id: input.toMachineId,
      deleted: true,
    })
  })
  return routes
}
