import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import { createTestingToken } from '../../domains/bot-check/index.ts'
import { type ActorToken, createActorToken, revokeActorToken } from '../../domains/sessions/index.ts'
import { getUser } from '../../domains/users/index.ts'
import { createOneTimeToken, revokeOneTimeToken } from '../../domains/verifications/index.ts'
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

const ActorTokenInput = z.object({
  user_id: z.string(),
  actor: z.looseObject({ sub: z.string(), iss: z.string().optional() }),
  expires_in_seconds: z.number().int().min(1).max(31_536_000).nullish(),
  session_max_duration_in_seconds: z.number().int().min(1).max(31_536_000).nullish(),
})

/** `/v1/jwks`, `/v1/sign_in_tokens`, `/v1/actor_tokens` and `/v1/testing_tokens` for the application's server. */
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

  routes.post('/actor_tokens', async (c) => {
    const input = await parseBody(c, ActorTokenInput)
    const { actorToken, token } = await createActorToken(c.var.ctx, {
      userId: input.user_id,
      actor: input.actor,
      expiresInSeconds: input.expires_in_seconds ?? undefined,
      sessionMaxDurationInSeconds: input.session_max_duration_in_seconds ?? undefined,
    })
    return jsonResponse(presentActorToken(actorToken, { token, publicUrl: c.var.publicUrl }))
  })
  routes.post('/actor_tokens/:id/revoke', async (c) =>
    jsonResponse(presentActorToken(await revokeActorToken(c.var.ctx, c.req.param('id')))),
  )

  routes.post('/testing_tokens', (c) => {
    const { token, expiresAt } = createTestingToken(c.var.ctx)
    return jsonResponse({ object: 'testing_token', token, expires_at: expiresAt.getTime() / 1000 })
  })
  return routes
}

/** @param made the token itself is shown once, to whoever had it made */
function presentActorToken(actorToken: ActorToken, made?: { token: string; publicUrl: string }) {
  return {
    object: 'actor_token' as const,
    id: actorToken.id,
    user_id: actorToken.userId,
    actor: actorToken.actor,
    status: actorToken.status,
    token: made?.token ?? null,
    url: made ? `${made.publicUrl}/v1/tickets/accept?ticket=${made.token}` : null,
    created_at: actorToken.createdAt.getTime(),
    updated_at: actorToken.updatedAt.getTime(),
  }
}
