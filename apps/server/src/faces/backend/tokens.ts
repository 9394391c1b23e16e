import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import { getUser } from '../../domains/users/index.ts'
import { createOneTimeToken, revokeOneTimeToken } from '../../domains/verifications/index.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { type Env, jsonResponse } from '../http.ts'
import { publicKeySet } from '../wellknown/jwks.ts'
import { parseBody } from './input.ts'

const SignInTokenInput = z.object({
  user_id: z.string(),
  expires_in_seconds: z
    .number()
    .int()
    .min(1)
    .max(31_536_000)
    .default(30 * 24 * 3600),
  org_id: z.string().optional(),
})

/** Testing tokens live this long; they only stand for "this is a test", and carry no right. */
const testingTokenSeconds = 3600

/** `/v1/jwks`, `/v1/sign_in_tokens` and `/v1/testing_tokens` for the application's server. */
export function tokenRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.get('/jwks', (c) => jsonResponse(publicKeySet(c.var.instance)))

  routes.post('/sign_in_tokens', async (c) => {
    const input = await parseBody(c, SignInTokenInput)
    const now = c.var.ctx.now()
    const expiresAt = new Date(now.getTime() + input.expires_in_seconds * 1000)
    const { id, token } = await transaction(c.var.ctx, async (tx) => {
      const user = await getUser(tx, input.user_id)
      const payload = input.org_id ? { organization_id: input.org_id } : {}
      return createOneTimeToken(tx, { kind: 'sign_in_token', subjectId: user.id, payload, expiresAt })
    })
    return jsonResponse({
      object: 'sign_in_token',
      id,
      user_id: input.user_id,
      status: 'pending',
      token,
      url: `${c.var.publicUrl}/v1/tickets/accept?ticket=${token}`,
      created_at: now.getTime(),
      updated_at: now.getTime(),
    })
  })
  routes.post('/sign_in_tokens/:id/revoke', async (c) => {
    const revoked = await transaction(c.var.ctx, (tx) => revokeOneTimeToken(tx, 'sign_in_token', c.req.param('id')))
    return jsonResponse({
      object: 'sign_in_token',
      id: revoked.id,
      user_id: revoked.subjectId,
      status: 'revoked',
      token: null,
      url: null,
      created_at: revoked.createdAt.getTime(),
      updated_at: c.var.ctx.now().getTime(),
    })
  })

  routes.post('/testing_tokens', (c) => {
    const seconds = Math.floor(c.var.ctx.now().getTime() / 1000)
    return jsonResponse({
      object: 'testing_token',
      token: `tt_${randomBase62(40)}`,
      expires_at: seconds + testingTokenSeconds,
    })
  })
  return routes
}
