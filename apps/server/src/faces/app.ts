import { Hono } from 'hono'
import { UsherError } from '../kernel/errors.ts'
import type { Runtime } from '../runtime.ts'
import { backendFace } from './backend/index.ts'
import { frontendFace } from './frontend/index.ts'
import { type Env, onError, secretKeyOf } from './http.ts'
import { platformFace } from './platform/index.ts'
import { syncBackendRoutes, syncFrontendRoutes } from './sync/token-routes.ts'
import { wellknownFace } from './wellknown/index.ts'

/** Internal prefixes: the two faces share `/v1`, and the credential decides between them. */
const backendBase = '/~backend'
const frontendBase = '/~frontend'

/** Every face behind one `fetch`. */
export function createApp(runtime: Runtime): (request: Request, env: Env['Bindings']) => Response | Promise<Response> {
  const app = new Hono<Env>({ getPath: routePath })
  app.use(async (c, next) => {
    c.set('runtime', runtime)
    c.set('log', runtime.log.child({ requestId: c.env.requestId }))
    await next()
    c.res.headers.set('x-request-id', c.env.requestId)
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

/** The route that a request is for. Proxies double slashes and SDKs add trailing ones: both mean the same. */
function routePath(request: Request): string {
  const collapsed = new URL(request.url).pathname.replace(/\/{2,}/g, '/')
  const path = collapsed.length > 1 ? collapsed.replace(/\/$/, '') : collapsed
  if (path.startsWith('/~')) return '/~' // nobody reaches a face by its internal prefix
  if (!path.startsWith('/v1/')) return path
  return (secretKeyOf(request.headers.get('authorization') ?? undefined) ? backendBase : frontendBase) + path
}

/** Browsers send only GET and POST; `_method` names the verb that is meant. */
function withMethodOverride(request: Request): Request {
  if (request.method !== 'POST' || !request.url.includes('_method=')) return request
  const method = new URL(request.url).searchParams.get('_method')?.toUpperCase()
  return method && ['PATCH', 'PUT', 'DELETE'].includes(method) ? new Request(request, { method }) : request
}
