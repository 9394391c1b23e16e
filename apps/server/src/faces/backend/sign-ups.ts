import { Hono } from 'hono'
import { z } from 'zod'
import { annotateSignUp, readSignUp } from '../../domains/signup/index.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentSignUp } from '../presenters/sign-up.ts'
import { parseBody } from './input.ts'

const UpdateInput = z.object({
  external_id: z.string().max(255).nullish(),
  custom_action: z.boolean().nullish(),
})

/** `/v1/sign_ups/{id}`: somebody who is signing up, as the application's server sees and annotates them. */
export function signUpRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/sign_ups/:id', async (c) =>
    jsonResponse(presentSignUp(c.var.ctx, await readSignUp(c.var.ctx, c.req.param('id')))),
  )
  routes.patch('/sign_ups/:id', async (c) => {
    const { external_id: externalId, custom_action: customAction } = await parseBody(c, UpdateInput)
    const changed = await annotateSignUp(c.var.ctx, { id: c.req.param('id'), externalId, customAction })
    return jsonResponse(presentSignUp(c.var.ctx, changed))
  })
  return routes
}
