import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import {
  addEmailAddress,
  deleteEmailAddress,
  getEmailAddress,
  getUser,
  setPrimaryEmailAddress,
  unverifyEmailAddress,
  verifyEmailAddress,
} from '../../domains/users/index.ts'
import { parseEmailAddress } from '../../domains/verifications/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentEmailAddress } from '../presenters/user.ts'
import { parseBody } from './input.ts'

const CreateInput = z.object({
  user_id: z.string(),
  email_address: z.unknown(),
  verified: z.boolean().nullish(),
  primary: z.boolean().nullish(),
})
const UpdateInput = z.object({ verified: z.boolean().nullish(), primary: z.boolean().nullish() })

/** `/v1/email_addresses` for the application's server. */
export function emailAddressRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.post('/email_addresses', async (c) => {
    const input = await parseBody(c, CreateInput)
    const emailAddress = parseEmailAddress(input.email_address)
    const made = await transaction(c.var.ctx, async (tx) => {
      const { id: userId } = await getUser(tx, input.user_id)
      const added = await addEmailAddress(tx, { userId, emailAddress, verifiedBy: input.verified ? 'admin' : null })
      if (input.primary) await setPrimaryEmailAddress(tx, { userId, emailAddressId: added.id })
      return added
    })
    return jsonResponse(presentEmailAddress(made))
  })
  routes.get('/email_addresses/:id', async (c) =>
    jsonResponse(presentEmailAddress(await getEmailAddress(c.var.ctx, c.req.param('id')))),
  )
  routes.patch('/email_addresses/:id', async (c) => {
    const id = c.req.param('id')
    const input = await parseBody(c, UpdateInput)
    if (input.verified === false && input.primary)
      throw new UsherError('form_param_value_invalid', 'The primary address has to be verified.', { param: 'primary' })
    const changed = await transaction(c.var.ctx, async (tx) => {
      const known = await getEmailAddress(tx, id)
      if (input.verified && !known.verifiedAt) await verifyEmailAddress(tx, { id, verifiedBy: 'admin' })
      if (input.verified === false && known.verifiedAt) await unverifyEmailAddress(tx, id)
      if (input.primary) await setPrimaryEmailAddress(tx, { userId: known.userId, emailAddressId: id })
      return getEmailAddress(tx, id)
    })
    return jsonResponse(presentEmailAddress(changed))
  })
  routes.delete('/email_addresses/:id', async (c) => {
    const { id } = await deleteEmailAddress(c.var.ctx, c.req.param('id'))
    return jsonResponse({ object: 'email_address', id, deleted: true })
  })
  return routes
}
