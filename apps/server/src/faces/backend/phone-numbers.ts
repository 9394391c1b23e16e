import { Hono } from 'hono'
import { z } from 'zod'
import { type Tx, transaction } from '../../database/index.ts'
import {
  addPhoneNumber,
  deletePhoneNumber,
  getPhoneNumber,
  getUser,
  type PhoneNumber,
  parsePhoneNumber,
  replacePhoneNumbers,
  setPhoneSecondFactor,
  setPrimaryPhoneNumber,
  unverifyPhoneNumber,
  verifyPhoneNumber,
} from '../../domains/users/index.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentPhoneNumber } from '../presenters/user.ts'
import { parseBody } from './input.ts'

const ChangeFields = {
  verified: z.boolean().nullish(),
  primary: z.boolean().nullish(),
  reserved_for_second_factor: z.boolean().nullish(),
}
const CreateInput = z.object({ user_id: z.string(), phone_number: z.unknown(), ...ChangeFields })
const UpdateInput = z.object(ChangeFields)

/** `/v1/phone_numbers` for the application's server. */
export function phoneNumberRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.post('/phone_numbers', async (c) => {
    const input = await parseBody(c, CreateInput)
    const phoneNumber = parsePhoneNumber(c.var.instance, input.phone_number)
    const made = await transaction(c.var.ctx, async (tx) => {
      const { id: userId } = await getUser(tx, input.user_id)
      const added = await addPhoneNumber(tx, { userId, phoneNumber, verifiedBy: input.verified ? 'admin' : null })
      return place(tx, added, input)
    })
    return jsonResponse(presentPhoneNumber(made))
  })
  routes.get('/phone_numbers/:id', async (c) =>
    jsonResponse(presentPhoneNumber(await getPhoneNumber(c.var.ctx, c.req.param('id')))),
  )
  routes.patch('/phone_numbers/:id', async (c) => {
    const id = c.req.param('id')
    const input = await parseBody(c, UpdateInput)
    const changed = await transaction(c.var.ctx, async (tx) => {
      const known = await getPhoneNumber(tx, id)
      if (input.verified && !known.verifiedAt) await verifyPhoneNumber(tx, { id, verifiedBy: 'admin' })
      if (input.verified === false && known.verifiedAt) await unverifyPhoneNumber(tx, id)
      return place(tx, known, input)
    })
    return jsonResponse(presentPhoneNumber(changed))
  })
  routes.delete('/phone_numbers/:id', async (c) => {
    const { id } = await deletePhoneNumber(c.var.ctx, c.req.param('id'))
    return jsonResponse({ object: 'phone_number', id, deleted: true })
  })
  routes.put('/users/:id/phone_number', async (c) => {
    const { phone_number } = await parseBody(c, z.object({ phone_number: z.unknown() }))
    const phoneNumber = parsePhoneNumber(c.var.instance, phone_number)
    const replaced = await replacePhoneNumbers(c.var.ctx, { userId: c.req.param('id'), phoneNumber })
    return jsonResponse(presentPhoneNumber(replaced))
  })
  return routes
}

/** Gives a number the places that the application names for it. */
async function place(tx: Tx, { id, userId }: PhoneNumber, input: z.infer<typeof UpdateInput>): Promise<PhoneNumber> {
  if (input.primary) await setPrimaryPhoneNumber(tx, { userId, phoneNumberId: id })
  const reserved = input.reserved_for_second_factor
  if (typeof reserved === 'boolean') await setPhoneSecondFactor(tx, { id, reservedForSecondFactor: reserved })
  return getPhoneNumber(tx, id)
}
