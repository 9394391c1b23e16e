import { type Context, Hono } from 'hono'
import { UsherError } from '../kernel/errors.ts'
import { requestLog } from '../kernel/log.ts'
import { requestSeconds } from '../kernel/metrics.ts'
import type { Runtime } from '../runtime.ts'
import { backendFace } from './backend/index.ts'
import { frontendFace } from './frontend/index.ts'
import { type Env, onError, secretKeyOf } from './http.ts'
import { platformFace } from './platform/index.ts'
import { RouteLog } from './route-log.ts'
import { syncBackendRoutes, syncFrontendRoutes } from './sync/token-routes.ts'
import { wellknownFace } from './wellknown/index.ts'

/** Internal prefixes: the two faces share `/v1`, and the credential decides between them. */
const backendBase = '/~backend'
const frontendBase = '/~frontend'

/**
 * Every face behind one `fetch`.
 *
 * What every request passes reads variables with `c.get(…)`: `c.var` copies all of them each time, which on the token
 * route cost a tenth of the whole request.
 */
export function createApp(runtime: Runtime): (request: Request, env: Env['Bindings']) => Response | Promise<Response> {
  const app = new Hono<Env>({ getPath: routePath })
  const { routeLog: directory } = runtime.config
  const routeLog = directory === undefined ? undefined : new RouteLog(directory)
  app.use(async (c, next) => {
    c.set('runtime', runtime)
    c.set('log', requestLog(runtime.log, c.env.requestId))
    const startedAt = performance.now()
    await next()
    c.res.headers.set('x-request-id', c.env.requestId)
    record(c, performance.now() - startedAt)
    if (routeLog) await routeLog.note(c)
  })
  app.onError(onError)
  app.notFound(() => {
    throw new UsherError('resource_not_found', 'There is nothing at this address.')
  })
  app.route('/', wellknownFace())
  app.route(backendBase, backendFace().route('/v1', syncBackendRoutes()))
  app.route(frontendBase, frontendFace().route('/v1', syncFrontendRoutes()))
  app.route('/', platformFace())
  return (request, env) => app.fetch(withMethodOverride(request), env)
}

/** Counts and logs an answered request. The path without its query: a query can hold a token. */
function record(c: Context<Env>, ms: number) {
  const { status } = c.res
  const face = c.req.path.startsWith('/~') ? c.req.path.slice(2).split('/', 1)[0] : 'other'
  requestSeconds.observe({ face, method: c.req.method, status: `${Math.floor(status / 100)}xx` }, ms / 1000)
  const level = status >= 500 ? 'error' : status >= 400 ? 'info' : 'debug'
  // `runtime.log` and not the request's: most requests log nothing, and then they need no log of their own.
  if (!c.get('runtime').log.isLevelEnabled(level)) return
  const path = new URL(c.req.url).pathname
  c.get('log')[level]({ method: c.req.method, path, status, ms: Math.round(ms * 10) / 10, ip: c.env.ip }, 'request')
}

/** The route that a request is for. Proxies double slashes and SDKs add trailing ones: both mean the same. */
function routePath(request: Request): string {
  const collapsed = new URL(request.url).pathname.replace(/\/{2,}/g, '/')
  const path = collapsed.length > 1 ? collapsed.replace(/\/$/, '') : collapsed
  if (path.startsWith('/~')) return '/~' // nobody reaches a face by its internal prefix
  // Called at the root by the SDKs, and by machines with keys of their own.
  const machinePath = path.match(/^(?:\/v1)?(\/m2m_tokens(?:\/.*)?)$/)?.[1]
  if (machinePath !== undefined) return `${backendBase}/v1${machinePath}`
  const apiKeyPath = path.match(/^(?:\/v1)?(\/api_keys(?:\/.*)?)$/)?.[1]
  const inFace = apiKeyPath === undefined ? path : `/v1${apiKeyPath}`
  if (!inFace.startsWith('/v1/')) return path
  return (secretKeyOf(request.headers.get('authorization') ?? undefined) ? backendBase : frontendBase) + inFace
}

/** Browsers send only GET and POST; `_method` names the verb that is meant. */
function withMethodOverride(request: Request): Request {
  if (request.method !== 'POST' || !request.url.includes('_method=')) return request
  const method = new URL(request.url).searchParams.get('_method')?.toUpperCase()
  return method && ['PATCH', 'PUT', 'DELETE'].includes(method) ? new Request(request, { method }) : request
}
