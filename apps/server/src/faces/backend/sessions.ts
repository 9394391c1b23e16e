import { Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import {
  createClient,
  createSession,
  findSessionState,
  getClient,
  getSession,
  isSignedIn,
  listClients,
  listSessions,
  mintSessionToken,
  mintTemplateToken,
  refreshSession,
  revokeSession,
  type Session,
  type SessionState,
  takeHandshakeDirectives,
  verifySessionToken,
} from '../../domains/sessions/index.ts'
import { getUser } from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { setCookie } from '../frontend/cookies.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentSession } from '../presenters/session.ts'
import { parseBody } from './input.ts'

const VerifyInput = z.object({ token: z.string().max(16_384) })
const statuses = z.enum(['active', 'pending', 'ended', 'expired', 'removed', 'replaced', 'revoked', 'abandoned'])
const TokenInput = z.object({ expires_in_seconds: z.number().int().min(30).max(315_360_000).nullish() })
const RefreshInput = z.object({
  format: z.enum(['cookie', 'token']).default('cookie'),
  expired_token: z.string().max(16_384),
  refresh_token: z.string().max(512),
  request_origin: z.string().max(2048).nullish(),
})
const CreateInput = z.object({ user_id: z.string(), active_organization_id: z.string().nullish() })

/** `/v1/sessions` and `/v1/clients` for the application's server. */
export function sessionRoutes(): Hono<Env> {
  const routes = new Hono<Env>()

  routes.get('/sessions', async (c) => {
    const status = c.req.query('status')
    const page = await listSessions(c.var.ctx, {
      ...Pagination.parse(c.req.query()),
      ...(c.req.query('user_id') && { userId: c.req.query('user_id') as string }),
      ...(c.req.query('client_id') && { clientId: c.req.query('client_id') as string }),
      ...(status !== undefined && { status: statuses.parse(status) as Session['status'] }),
    })
    const data = page.data.map((s) => presentSession(c.var.ctx, s, { activity: true }))
    return jsonResponse(c.req.query('paginated') === 'true' ? { data, total_count: page.totalCount } : data)
  })
  routes.post('/sessions', async (c) => {
    if (c.var.instance.environment === 'production')
      throw new UsherError('forbidden', 'Sessions can be made for tests in development instances only.')
    const input = await parseBody(c, CreateInput)
    const { id: userId } = await getUser(c.var.ctx, input.user_id)
    const { clientId } = await createClient(c.var.ctx, { carrier: 'cookie' })
    const made = await transaction(c.var.ctx, async (tx) => {
      const organizationId = input.active_organization_id ?? null
      const { session } = await createSession(tx, { clientId, userId, organizationId, strategy: 'ticket' })
      return getSession(tx, session.id)
    })
    return jsonResponse(presentSession(c.var.ctx, made, { activity: true }))
  })
  routes.get('/sessions/:id', async (c) =>
    jsonResponse(presentSession(c.var.ctx, await getSession(c.var.ctx, c.req.param('id')), { activity: true })),
  )
  routes.post('/sessions/:id/revoke', async (c) =>
    jsonResponse(presentSession(c.var.ctx, await revokeSession(c.var.ctx, c.req.param('id')), { activity: true })),
  )
  // Who is signed in, and still is: answered from the session plane's memory, which revocations reach at once.
  routes.post('/sessions/:id/verify', async (c) => {
    const ctx = c.get('ctx')
    const { token } = await parseBody(c, VerifyInput)
    const { sid } = await verifySessionToken(ctx, token)
    const session = sid === c.req.param('id') ? await findSessionState(ctx, sid) : undefined
    if (!session || !isSignedIn(session, ctx.now()))
      throw new UsherError('authentication_invalid', 'This session has ended, or the token is not its.')
    return jsonResponse(presentSession(ctx, session))
  })
  routes.post('/sessions/:id/tokens', async (c) => {
    const session = await openSession(c.var.ctx, c.req.param('id'))
    const lifetime = (await parseBody(c, TokenInput)).expires_in_seconds ?? undefined
    return jsonResponse({ object: 'token', jwt: await mintSessionToken(c.var.ctx, session, { lifetime }) })
  })
  routes.post('/sessions/:id/tokens/:template', async (c) => {
    const session = await openSession(c.var.ctx, c.req.param('id'))
    const lifetime = (await parseBody(c, TokenInput)).expires_in_seconds ?? undefined
    const jwt = await mintTemplateToken(c.var.ctx, session, c.req.param('template'), { lifetime })
    return jsonResponse({ object: 'token', jwt })
  })
  // The application's server holds the browser's cookies and asks for the next ones, without a redirect.
  routes.post('/sessions/:id/refresh', async (c) => {
    const input = await parseBody(c, RefreshInput)
    const requestOrigin = input.request_origin ?? undefined
    const { token, refreshToken } = await refreshSession(c.var.ctx, {
      sessionId: c.req.param('id'),
      refreshToken: input.refresh_token,
      expiredToken: input.expired_token,
      requestOrigin,
    })
    if (input.format === 'token') return jsonResponse({ object: 'token', jwt: token })
    const secure = requestOrigin?.startsWith('https:') ?? c.var.publicUrl.startsWith('https:')
    const suffix = c.var.instance.cookieSuffix
    const names = c.req.query('suffixed_cookies') === 'true' ? ['__session', `__session_${suffix}`] : ['__session']
    const cookies = names.map((name) => setCookie(name, token, { secure }))
    if (refreshToken) cookies.unshift(setCookie(`__refresh_${suffix}`, refreshToken, { secure, httpOnly: true }))
    return jsonResponse({ object: 'cookies', cookies })
  })

  routes.get('/clients', async (c) => {
    const page = await listClients(c.var.ctx, Pagination.parse(c.req.query()))
    const data = page.data.map((client) => presentClientToBackend(c.var.ctx, client))
    return jsonResponse(c.req.query('paginated') === 'true' ? { data, total_count: page.totalCount } : data)
  })
  routes.get('/clients/handshake_payload', async (c) => {
    return jsonResponse({ directives: await takeHandshakeDirectives(c.var.ctx, c.req.query('nonce')) })
  })
  routes.post('/clients/verify', async (c) => {
    const { token } = await parseBody(c, z.object({ token: z.string().max(16_384) }))
    const { sid } = await verifySessionToken(c.var.ctx, token)
    const session = await findSessionState(c.var.ctx, sid)
    if (!session || !isSignedIn(session, c.var.ctx.now()))
      throw new UsherError('authentication_invalid', 'This session has ended.')
    return jsonResponse(presentClientToBackend(c.var.ctx, await getClient(c.var.ctx, session.clientId)))
  })
  routes.get('/clients/:id', async (c) =>
    jsonResponse(presentClientToBackend(c.var.ctx, await getClient(c.var.ctx, c.req.param('id')))),
  )
  return routes
}

/** @throws {UsherError} `resource_not_found`, also for a session that has ended */
async function openSession(ctx: Ctx, id: string): Promise<SessionState> {
  const session = await findSessionState(ctx, id)
  if (session) return session
  await getSession(ctx, id)
  throw new UsherError('resource_not_found', 'This session has ended.')
}

function presentClientToBackend(ctx: Ctx, client: Awaited<ReturnType<typeof getClient>>) {
  return {
    object: 'client',
    id: client.id,
    session_ids: client.sessions.map((s) => s.id),
    sessions: client.sessions.map((s) => presentSession(ctx, s, { activity: true })),
    sign_in_id: client.signInId,
    sign_up_id: client.signUpId,
    last_active_session_id: client.lastActiveSessionId,
    last_authentication_strategy: client.lastAuthenticationStrategy,
    created_at: client.createdAt.getTime(),
    updated_at: client.updatedAt.getTime(),
  }
}
