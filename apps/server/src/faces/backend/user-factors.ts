import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import {
  disableSecondFactors,
  removeBackupCodes,
  removePasskey,
  removeTotp,
  useBackupCode,
  verifyTotp,
} from '../../domains/credentials/index.ts'
import { noteFailure } from '../../domains/signin/index.ts'
import { clearFailedAttempts, getUser, refuseLocked } from '../../domains/users/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Env, jsonResponse } from '../http.ts'
import { parseBody } from './input.ts'

/** What the application's server does with the factors of its users: `/v1/users/{id}/mfa`, `/totp`, `/passkeys` … */
export function userFactorRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.delete('/users/:id/mfa', async (c) => {
    const userId = c.req.param('id')
    await disableSecondFactors(c.var.ctx, { userId })
    return jsonResponse({ user_id: userId })
  })
  routes.delete('/users/:id/totp', async (c) => {
    const { id: userId } = await getUser(c.var.ctx, c.req.param('id'))
    await removeTotp(c.var.ctx, { userId })
    return jsonResponse({ user_id: userId })
  })
  routes.delete('/users/:id/backup_code', async (c) => {
    const { id: userId } = await getUser(c.var.ctx, c.req.param('id'))
    await removeBackupCodes(c.var.ctx, { userId })
    return jsonResponse({ user_id: userId })
  })
  routes.delete('/users/:id/passkeys/:passkey', async (c) => {
    const { id: userId } = await getUser(c.var.ctx, c.req.param('id'))
    const id = c.req.param('passkey')
    await removePasskey(c.var.ctx, { userId, id })
    return jsonResponse({ object: 'passkey', id, deleted: true })
  })
  routes.post('/users/:id/verify_totp', async (c) => {
    const { code } = await parseBody(c, z.object({ code: z.string().max(100) }))
    const { ctx } = c.var
    const { id: userId } = await getUser(ctx, c.req.param('id'))
    // The application passes on what people type: their guesses count as those at sign-in do, and before they are
    // compared, so that parallel ones are no more.
    await noteFailure(ctx, userId)
    refuseLocked(await getUser(ctx, userId), ctx.now())
    const codeType = await transaction(ctx, async (tx) => {
      const shown = (await verifyTotp(tx, { userId, code }))
        ? 'totp'
        : (await useBackupCode(tx, { userId, code })) && 'backup_code'
      if (shown) await clearFailedAttempts(tx, userId)
      return shown
    })
    if (!codeType) throw new UsherError('form_code_incorrect', 'The code is incorrect.', { param: 'code' })
    return jsonResponse({ verified: true, code_type: codeType })
  })
  return routes
}
