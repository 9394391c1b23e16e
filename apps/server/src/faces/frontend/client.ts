import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { transaction } from '../../database/index.ts'
import {
  deleteClient,
  endSession,
  getSession,
  isSignedIn,
  mintSessionToken,
  mintTemplateToken,
  removeClientSessions,
  removeSession,
  rotateClientToken,
  type SessionState,
  touchSession,
} from '../../domains/sessions/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { jsonResponse } from '../http.ts'
import { presentSession } from '../presenters/session.ts'
import { challengeFields, requireHuman } from './bot-check.ts'
import {
  ensureBrowser,
  type FrontendEnv,
  limitByAddress,
  noteIssued,
  reply,
  replyClient,
  requireBrowser,
} from './context.ts'
import { parseForm, readForm } from './forms.ts'
import { applicationOrigin, isTrustedOrigin, parseOrigin } from './origins.ts'

const TouchForm = z.object({ active_organization_id: z.string().max(255).optional(), intent: z.string().optional() })

/** The client of a browser and the sessions that are signed in on it. */
export function clientRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()

  routes.get('/client', async (c) => replyClient(c))
  routes.on(['PUT', 'POST'], '/client', async (c) => {
    await ensureBrowser(c)
    return replyClient(c)
  })
  routes.delete('/client', async (c) => {
    const { clientId } = c.var.frontend
    if (clientId !== undefined) await deleteClient(c.var.ctx, clientId)
    c.var.frontend.clientId = undefined
    c.var.frontend.forgotten = true
    return reply(c, null)
  })
  routes.delete('/client/sessions', async (c) => {
    if (c.var.frontend.clientId !== undefined) await removeClientSessions(c.var.ctx, c.var.frontend.clientId)
    return replyClient(c)
  })
  // An answer to a challenge that no step asked for: whether it holds. The step itself asks for one of its own.
  routes.post('/client/verify', limitByAddress, async (c) => {
    await requireHuman(c, await parseForm(c, z.object(challengeFields)))
    return replyClient(c)
  })
  routes.get('/client/touch', renewCookie)

  routes.get('/client/sessions/:id', async (c) => {
    const session = await getSession(c.var.ctx, c.req.param('id'))
    if (session.clientId !== c.var.frontend.clientId)
      throw new UsherError('resource_not_found', 'There is no such session.')
    return reply(c, presentSession(c.var.ctx, session, { user: true }))
  })
  routes.post('/client/sessions/:id/touch', async (c) => {
    const { active_organization_id: wanted } = await parseForm(c, TouchForm)
    const { clientId, carrier } = requireBrowser(c)
    const organization = wanted === '' ? null : wanted
    const sessionId = c.req.param('id')
    const { session, issued } = await touchSession(c.var.ctx, { clientId, sessionId, organization, carrier })
    noteIssued(c, issued)
    const token = await mintSessionToken(c.var.ctx, session, { azp: applicationOrigin(c) })
    return reply(c, presentSession(c.var.ctx, session, { token, user: true }))
  })
  routes.post('/client/sessions/:id/end', async (c) => {
    const session = await endSession(c.var.ctx, { ...requireBrowser(c), sessionId: c.req.param('id') })
    return reply(c, presentSession(c.var.ctx, session, { user: true }))
  })
  routes.post('/client/sessions/:id/remove', async (c) => {
    const session = await removeSession(c.var.ctx, { ...requireBrowser(c), sessionId: c.req.param('id') })
    return reply(c, presentSession(c.var.ctx, session, { user: true }))
  })
  // The hot path: no envelope, and no query once the client is known here.
  routes.post('/client/sessions/:id/tokens', async (c) => {
    const session = ownSession(c, c.req.param('id'))
    const { organization_id: wanted } = await readForm(c)
    const organizationId = wanted === undefined ? undefined : wanted === '' ? null : String(wanted)
    const jwt = await mintSessionToken(c.get('ctx'), session, { organizationId, azp: applicationOrigin(c) })
    return jsonResponse({ object: 'token', jwt })
  })
  // A token for another service: the shape is the template's, the organization the session's active one.
  routes.post('/client/sessions/:id/tokens/:template', async (c) => {
    const session = ownSession(c, c.req.param('id'))
    const azp = applicationOrigin(c)
    const jwt = await mintTemplateToken(c.get('ctx'), session, c.req.param('template'), { azp })
    return jsonResponse({ object: 'token', jwt })
  })
  return routes
}

/** A session that is signed in on the caller's client. @throws {UsherError} `resource_not_found` or `signed_out` */
function ownSession(c: Context<FrontendEnv>, id: string): SessionState {
  const client = c.get('frontend').identified?.client
  const session = client?.sessions.find((s) => s.id === id)
  if (!client) throw new UsherError('authentication_invalid', 'You are signed out.')
  if (!session) throw new UsherError('resource_not_found', 'There is no such session.')
  if (!isSignedIn(session, c.get('ctx').now())) throw new UsherError('signed_out', 'This session has ended.')
  return session
}

/** Renews the client cookie on the way to another page. */
async function renewCookie(c: Context<FrontendEnv>): Promise<Response> {
  const target = c.req.query('redirect_url') ?? ''
  const url = parseOrigin(target)
  if (!url || !isTrustedOrigin(c.var.instance, c.var.publicUrl, target))
    throw new UsherError('form_param_value_invalid', 'This address is not one of the application.', {
      param: 'redirect_url',
    })
  const { clientId, carrier } = c.var.frontend
  if (clientId !== undefined && carrier === 'cookie')
    noteIssued(c, await transaction(c.var.ctx, (tx) => rotateClientToken(tx, { clientId, carrier, grace: true })))
  return new Response(null, { status: 307, headers: { location: url.toString(), 'cache-control': 'no-store' } })
}
