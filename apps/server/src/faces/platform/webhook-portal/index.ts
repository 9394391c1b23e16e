import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { deleteCookie, getCookie, setCookie } from 'hono/cookie'
import { z } from 'zod'
import {
  closePortal,
  createWebhookEndpoint,
  deleteWebhookEndpoint,
  findPortalSession,
  getWebhookEndpoint,
  getWebhookSecret,
  listDeliveries,
  listWebhookEndpoints,
  openPortal,
  type PortalSession,
  replayWebhooks,
  rotateWebhookSecret,
  sendTestWebhook,
  updateWebhookEndpoint,
} from '../../../domains/webhooks/index.ts'
import { UsherError } from '../../../kernel/errors.ts'
import { countAttempt, ipKey } from '../../../kernel/rate-limit.ts'
import { createCtx } from '../../../runtime.ts'
import { type Env, resolveInstance, toUsherError } from '../../http.ts'
import { presentEvents } from '../../presenters/webhook-event.ts'
import { readText } from '../../read-text.ts'
import { sameOriginOnly } from '../same-origin.ts'
import { endpointPage, type Shown } from './endpoint-page.ts'
import { endpointsPage, newEndpointPage, overPage, problemPage, unlockPage } from './pages.ts'

const base = '/webhooks/portal'
const maxFormBytes = 64 * 1024
/** Forms that one session may send. */
const formLimit = { max: 60, windowMs: 60_000 }

type PortalEnv = Env & { Variables: Env['Variables'] & { portal: PortalSession } }
type PortalContext = Context<PortalEnv>

const LogQuery = z.object({
  state: z.enum(['delivered', 'waiting', 'failed', 'skipped']).optional().catch(undefined),
  run: z.coerce.number().int().min(0).max(2_147_483_647).catch(0),
  before: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional().catch(undefined),
  done: z.enum(['saved', 'made', 'rotated', 'tested', 'replayed']).optional().catch(undefined),
})

/**
 * `/webhooks/portal`: endpoints of this instance's webhooks, for people who have no secret key. A link of the server API
 * opens it once; what it opens is a session of an hour that is good for nothing else.
 */
export function webhookPortalRoutes(): Hono<PortalEnv> {
  const routes = new Hono<PortalEnv>()
  // A person is looking at whatever comes of it.
  routes.onError((error, c) => problemPage(toUsherError(error, c.var.log)))
  routes.use(base, resolveInstance)
  routes.use(`${base}/*`, resolveInstance)
  routes.on('POST', [base, `${base}/*`], sameOriginOnly)

  routes.get(`${base}/open`, () => unlockPage())
  routes.get(`${base}/closed`, () => overPage())
  routes.post(`${base}/open`, async (c) => {
    const ctx = ctxOf(c)
    // Whoever guesses gets nowhere, and asks the database no more than this.
    const { attemptsPerMinute: max } = ctx.instance.settings.rateLimits
    countAttempt(ctx.database, `${ctx.instance.id}:portal:${ipKey(c.env.ip)}`, { max, windowMs: 60_000 }, ctx.now())
    const { token: linkToken } = Object.fromEntries(await formOf(c))
    let opened: Awaited<ReturnType<typeof openPortal>>
    try {
      opened = await openPortal(ctx, linkToken)
    } catch (error) {
      return overPage(toUsherError(error, c.var.log))
    }
    const { name, options } = cookieOf(c)
    setCookie(c, name, opened.token, { ...options, expires: opened.session.expiresAt })
    return c.redirect(base, 303)
  })

  routes.use(base, requireSession)
  routes.use(`${base}/*`, requireSession)
  routes.post(`${base}/close`, async (c) => {
    await closePortal(c.var.ctx, c.var.portal.id)
    const { name, options } = cookieOf(c)
    deleteCookie(c, name, options)
    return c.redirect(`${base}/closed`, 303)
  })

  routes.get(base, async (c) => {
    const { data } = await listWebhookEndpoints(c.var.ctx, { limit: 100, offset: 0 })
    return endpointsPage(c.var.portal, data)
  })
  routes.get(`${base}/new`, (c) => newEndpointPage(c.var.portal))
  routes.post(`${base}/endpoints`, async (c) => {
    const form = await formOf(c)
    const input = inputOf(form)
    try {
      const { endpoint } = await createWebhookEndpoint(c.var.ctx, input)
      return c.redirect(`${base}/endpoints/${endpoint.id}?done=made`, 303)
    } catch (error) {
      return newEndpointPage(c.var.portal, { ...input, problem: problemOf(c, error) })
    }
  })

  routes.get(`${base}/endpoints/:id`, (c) => show(c))
  routes.post(`${base}/endpoints/:id`, (c) =>
    attempt(c, async (id, form) => {
      await updateWebhookEndpoint(c.var.ctx, { id, ...inputOf(form) })
      return back(c, id, 'saved')
    }),
  )
  routes.post(`${base}/endpoints/:id/state`, (c) =>
    attempt(c, async (id, form) => {
      await updateWebhookEndpoint(c.var.ctx, { id, disabled: form.get('disabled') === 'true' })
      return back(c, id, 'saved')
    }),
  )
  routes.post(`${base}/endpoints/:id/delete`, (c) =>
    attempt(c, async (id) => {
      await deleteWebhookEndpoint(c.var.ctx, id)
      return c.redirect(base, 303)
    }),
  )
  // Shown in the answer and at no address: going back or reloading asks again.
  routes.post(`${base}/endpoints/:id/secret`, (c) =>
    attempt(c, async (id) => show(c, { secret: await getWebhookSecret(c.var.ctx, id) })),
  )
  routes.post(`${base}/endpoints/:id/rotate`, (c) =>
    attempt(c, async (id, form) => {
      const overlapHours = form.get('overlap') === 'none' ? 0 : undefined
      return show(c, { secret: await rotateWebhookSecret(c.var.ctx, { id, overlapHours }), done: 'rotated' })
    }),
  )
  routes.post(`${base}/endpoints/:id/test`, (c) =>
    attempt(c, async (id, form) => {
      const tools = { post: c.var.runtime.webhookPost, present: presentEvents }
      await sendTestWebhook(c.var.ctx, { id, type: form.get('event_type') ?? '' }, tools)
      return back(c, id, 'tested')
    }),
  )
  routes.post(`${base}/endpoints/:id/replay`, (c) =>
    attempt(c, async (id, form) => {
      const position = Number(form.get('position') ?? 0)
      const hours = Math.min(Math.max(Number(form.get('hours')) || 1, 1), 24 * 366)
      const range =
        Number.isSafeInteger(position) && position > 0
          ? { after: position - 1, until: position }
          : { since: new Date(c.var.ctx.now().getTime() - hours * 3_600_000) }
      const failedOnly = form.get('which') === 'failed'
      const { run } = await replayWebhooks(c.var.ctx, { endpointId: id, ...range, failedOnly })
      return back(c, id, 'replayed', run)
    }),
  )
  routes.all(`${base}/*`, () => {
    throw new UsherError('resource_not_found', 'There is nothing at this address.')
  })
  return routes
}

const idOf = (c: PortalContext) => c.req.param('id') ?? ''
const back = (c: PortalContext, id: string, done: NonNullable<Shown['done']>, run = 0) =>
  c.redirect(`${base}/endpoints/${id}?done=${done}${run > 0 ? `&run=${run}` : ''}`, 303)

async function show(c: PortalContext, more: Pick<Shown, 'secret' | 'problem' | 'typed' | 'done'> = {}) {
  const { done, ...query } = LogQuery.parse(c.req.query())
  const endpoint = await getWebhookEndpoint(c.var.ctx, idOf(c))
  const log = await listDeliveries(c.var.ctx, { endpointId: endpoint.id, ...query, limit: 50 })
  return endpointPage({ portal: c.var.portal, endpoint, log, query, done, ...more })
}

/** Does what a form asks for, or shows the endpoint again with what was wrong. */
async function attempt(
  c: PortalContext,
  work: (id: string, form: URLSearchParams) => Promise<Response>,
): Promise<Response> {
  const form = await formOf(c)
  try {
    return await work(idOf(c), form)
  } catch (error) {
    const problem = problemOf(c, error)
    return show(c, { problem, ...(form.has('url') && { typed: inputOf(form) }) })
  }
}

/** What to tell the person. What nobody expected, or is not there, goes on. */
function problemOf(c: PortalContext, error: unknown): string {
  const known = toUsherError(error, c.var.log)
  if (known.status >= 500 || known.code === 'resource_not_found') throw error
  return known.message
}

function inputOf(form: URLSearchParams) {
  return {
    url: (form.get('url') ?? '').trim(),
    description: (form.get('description') ?? '').slice(0, 500),
    eventTypes: form.getAll('event_types'),
  }
}

async function formOf(c: PortalContext): Promise<URLSearchParams> {
  return new URLSearchParams(await readText(c, maxFormBytes))
}

/**
 * Browsers send it to these pages only, with no request that another site begins, and show it to no script. A name of
 * its own for each instance: some share a host.
 */
function cookieOf(c: PortalContext) {
  const secure = c.var.publicUrl.startsWith('https:')
  return {
    name: `${secure ? '__Secure-' : ''}usher_webhooks_${c.var.instance.cookieSuffix}`,
    options: { path: base, httpOnly: true, sameSite: 'Strict', secure } as const,
  }
}

/** @param session whose doing it is, so that the audit log tells one link's holder from another's */
function ctxOf(c: PortalContext, session?: PortalSession) {
  const request = { ip: c.env.ip, userAgent: c.req.header('user-agent') }
  return createCtx(
    c.var.runtime,
    c.var.instance,
    { type: 'system' as const, job: session ? `webhook portal ${session.id}` : 'webhook portal' },
    c.var.log,
    request,
  )
}

const requireSession: MiddlewareHandler<PortalEnv> = async (c, next) => {
  const session = await findPortalSession(ctxOf(c), getCookie(c, cookieOf(c).name))
  if (!session) return overPage(new UsherError('authentication_invalid', 'The portal is not open in this browser.'))
  const ctx = ctxOf(c, session)
  // Each test makes the server call an address of their choice.
  if (c.req.method === 'POST')
    countAttempt(ctx.database, `${ctx.instance.id}:portal:${session.id}`, formLimit, ctx.now())
  c.set('ctx', ctx)
  c.set('portal', session)
  await next()
}
