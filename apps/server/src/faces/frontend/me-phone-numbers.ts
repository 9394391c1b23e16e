import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import { changePhoneSecondFactor, removePhoneNumber } from '../../domains/credentials/index.ts'
import { checkMayHave } from '../../domains/restrictions/index.ts'
import {
  addPhoneNumber,
  getPhoneNumber,
  getUser,
  type PhoneNumber,
  parsePhoneNumber,
  verifyPhoneNumber,
} from '../../domains/users/index.ts'
import { checkCode, findCode, sendCode } from '../../domains/verifications/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { presentPhoneNumber } from '../presenters/user.ts'
import { presentCode } from '../presenters/verification.ts'
import { type FrontendEnv, limitByAddress, reply, requireSession } from './context.ts'
import { parseForm } from './forms.ts'
import { firstBackupCodes } from './me-factors.ts'

const CreateInput = z.object({ phone_number: z.unknown() })
const PrepareInput = z.object({ strategy: z.string().default('phone_code') })
const AttemptInput = z.object({ code: z.string().max(20) })
const UpdateInput = z.object({
  reserved_for_second_factor: z.stringbool().optional(),
  default_second_factor: z.stringbool().optional(),
})

/** `/v1/me/phone_numbers`: a person's own numbers. */
export function mePhoneNumberRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()

  routes.get('/me/phone_numbers', async (c) => {
    const { phoneNumbers } = await getUser(c.var.ctx, requireSession(c).userId)
    return reply(c, phoneNumbers.map(presentPhoneNumber))
  })
  routes.post('/me/phone_numbers', limitByAddress, async (c) => {
    const { userId } = requireSession(c)
    const { settings } = c.var.instance
    if (settings.phoneNumber.use === 'off' && !settings.secondFactors.phoneCode)
      throw new UsherError('forbidden', 'Phone numbers are switched off.')
    const { phone_number } = await parseForm(c, CreateInput)
    const phoneNumber = parsePhoneNumber(c.var.instance, phone_number)
    const added = await transaction(c.var.ctx, async (tx) => {
      await checkMayHave(tx, { kind: 'phone_number', value: phoneNumber, userId })
      return addPhoneNumber(tx, { userId, phoneNumber, verifiedBy: null })
    })
    return reply(c, presentPhoneNumber(added))
  })
  routes.get('/me/phone_numbers/:id', async (c) =>
    reply(c, presentPhoneNumber(await ownNumber(c.var.ctx, requireSession(c).userId, c.req.param('id')))),
  )
  routes.patch('/me/phone_numbers/:id', async (c) => {
    const { userId } = requireSession(c)
    const input = await parseForm(c, UpdateInput)
    const { id } = await ownNumber(c.var.ctx, userId, c.req.param('id'))
    if (input.reserved_for_second_factor && !c.var.instance.settings.secondFactors.phoneCode)
      throw new UsherError('forbidden', 'Codes by text message are switched off as a second factor.')
    const changed = await changePhoneSecondFactor(c.var.ctx, {
      id,
      reservedForSecondFactor: input.reserved_for_second_factor,
      defaultSecondFactor: input.default_second_factor,
    })
    const backupCodes = input.reserved_for_second_factor ? await firstBackupCodes(c, userId) : null
    return reply(c, { ...presentPhoneNumber(changed), ...(backupCodes && { backup_codes: backupCodes }) })
  })
  routes.delete('/me/phone_numbers/:id', async (c) => {
    const { id } = await ownNumber(c.var.ctx, requireSession(c).userId, c.req.param('id'))
    await removePhoneNumber(c.var.ctx, id)
    return reply(c, { object: 'phone_number', id, deleted: true })
  })
  routes.post('/me/phone_numbers/:id/prepare_verification', limitByAddress, async (c) => {
    const { strategy } = await parseForm(c, PrepareInput)
    if (strategy !== 'phone_code')
      throw new UsherError('form_param_value_invalid', 'A number is verified by phone_code.', { param: 'strategy' })
    const { userId, user } = requireSession(c)
    const number = await ownNumber(c.var.ctx, userId, c.req.param('id'))
    if (number.verifiedAt)
      throw new UsherError('verification_already_verified', 'This phone number is verified already.')
    const { phoneNumber } = number
    const code = await transaction(c.var.ctx, (tx) =>
      sendCode(tx, { purpose: 'phone_number', subjectId: number.id, phoneNumber, locale: user.locale }),
    )
    return reply(c, { ...presentPhoneNumber(number), verification: presentCode(code, strategy, c.var.ctx.now()) })
  })
  routes.post('/me/phone_numbers/:id/attempt_verification', limitByAddress, async (c) => {
    const { code } = await parseForm(c, AttemptInput)
    const { id } = await ownNumber(c.var.ctx, requireSession(c).userId, c.req.param('id'))
    const subject = { purpose: 'phone_number', subjectId: id } as const
    const sent = await transaction(c.var.ctx, (tx) => findCode(tx, subject))
    if (!sent) throw new UsherError('verification_failed', 'Ask for a code first.')
    await checkCode(c.var.ctx, { ...subject, code })
    return reply(c, presentPhoneNumber(await verifyPhoneNumber(c.var.ctx, { id, verifiedBy: 'phone_code' })))
  })
  return routes
}

/** A number of the caller; somebody else's does not exist. */
async function ownNumber(ctx: Ctx, userId: string, id: string): Promise<PhoneNumber> {
  const number = await getPhoneNumber(ctx, id)
  if (number.userId !== userId) throw new UsherError('resource_not_found', 'There is no such phone number.')
  return number
}
