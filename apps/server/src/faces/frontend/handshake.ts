import { type Context, Hono } from 'hono'
import {
  activeOrganizationOf,
  createDevBrowser,
  createHandshake,
  createRefreshToken,
  isDevBrowserHost,
  mintSessionToken,
  type SessionState,
  touchSession,
} from '../../domains/sessions/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import type { FrontendEnv } from './context.ts'
import { clearCookie, setCookie, sharedDomain } from './cookies.ts'
import { isTrustedOrigin, parseOrigin } from './origins.ts'

/** How an application's server gets the cookies for its own host: through its browser, and back at once. */
export function handshakeRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.get('/client/handshake', async (c) => {
    const target = redirectTarget(c)
    const session = await chosenSession(c)
    const directives = await cookieDirectives(c, target, session)
    const format = c.req.query('format') === 'nonce' ? 'nonce' : 'jwt'
    const value = await createHandshake(c.var.ctx, { directives, format })
    const name = format === 'nonce' ? '__clerk_handshake_nonce' : '__clerk_handshake'
    const headers = new Headers({ 'cache-control': 'no-store' })
    if (c.var.instance.environment === 'development') target.searchParams.set(name, value)
    else {
      const options = { secure: target.protocol === 'https:', httpOnly: true, maxAge: 60 }
      headers.append('set-cookie', setCookie(name, value, { ...options, domain: valueDomain(c, target) }))
    }
    headers.set('location', target.toString())
    return new Response(null, { status: 307, headers })
  })
  return routes
}

/** Cookies are made for applications of this instance alone; in development any page may be one. */
function redirectTarget(c: Context<FrontendEnv>): URL {
  const value = c.req.query('redirect_url') ?? ''
  const url = parseOrigin(value)
  const { instance, publicUrl } = c.var
  if (url && (instance.environment === 'development' || isTrustedOrigin(instance, publicUrl, value))) return url
  throw new UsherError('request_body_invalid', 'This address is not one of the application.', { param: 'redirect_url' })
}

/** The acting session, with the organization that the application's server asks for where the person is a member. */
async function chosenSession(c: Context<FrontendEnv>): Promise<SessionState | undefined> {
  const { session, clientId, carrier } = c.var.frontend
  const wanted = c.req.query('organization_id')
  if (!session || clientId === undefined || wanted === undefined) return session
  const organization = wanted === '' ? null : wanted
  const membership = session.memberships.find((m) => [m.organizationId, m.organization.slug].includes(wanted))
  if (organization !== null && !membership) return session
  if ((membership?.organizationId ?? null) === activeOrganizationOf(session)) return session
  const browser = { clientId, carrier: carrier === 'dev_browser' ? ('dev_browser' as const) : ('cookie' as const) }
  const touched = await touchSession(c.var.ctx, { ...browser, sessionId: session.id, organization })
  c.var.frontend.issued = touched.issued
  return touched.session
}

/**
 * The domain of the cookie that carries the value itself. It must be cleared under the same one: a value that stays is
 * asked for again with every request, and its second use is refused.
 */
function valueDomain(c: Context<FrontendEnv>, target: URL): string | undefined {
  return target.host === new URL(c.var.publicUrl).host ? undefined : sharedDomain(target.hostname)
}

/** Complete `Set-Cookie` values; each name with and without the instance's suffix, so that neither is stale. */
async function cookieDirectives(
  c: Context<FrontendEnv>,
  target: URL,
  session: SessionState | undefined,
): Promise<string[]> {
  const { instance, ctx } = c.var
  const secure = target.protocol === 'https:'
  const both = (name: string) => [name, `${name}_${instance.cookieSuffix}`]
  const uat = session ? Math.floor((c.var.frontend.identified?.client?.updatedAt.getTime() ?? 0) / 1000) : 0
  const domain = sharedDomain(target.hostname)
  const directives = both('__client_uat').map((name) => setCookie(name, String(uat), { secure, domain }))
  if (instance.environment === 'development') {
    const value = await devBrowserValue(c)
    directives.push(...both('__clerk_db_jwt').map((name) => setCookie(name, value, { secure })))
  } else {
    for (const name of ['__clerk_handshake', '__clerk_handshake_nonce'])
      directives.push(clearCookie(name, { secure, domain: valueDomain(c, target) }))
  }
  const refresh = `__refresh_${instance.cookieSuffix}`
  if (!session) directives.push(clearCookie(refresh, { secure }))
  else directives.push(setCookie(refresh, await createRefreshToken(ctx, session), { secure, httpOnly: true }))
  // Last: the server SDK takes the token from the last directive whose name begins with `__session`.
  if (!session) return [...directives, ...both('__session').map((name) => clearCookie(name, { secure }))]
  const token = await mintSessionToken(ctx, session, { azp: target.origin })
  return [...directives, ...both('__session').map((name) => setCookie(name, token, { secure }))]
}

/**
 * What the server SDK wants to see in development. Where the browser SDK does without a dev browser, any opaque value
 * will do; it proves nothing, so the one that is there stays.
 */
async function devBrowserValue(c: Context<FrontendEnv>): Promise<string> {
  const presented = c.req.query('__clerk_db_jwt')
  const issued = c.var.frontend.carrier === 'dev_browser' ? c.var.frontend.issued?.token : undefined
  if (issued) return issued
  if (presented && /^[\w.-]{1,200}$/.test(presented)) return presented
  if (isDevBrowserHost(c.var.instance.host)) return (await createDevBrowser(c.var.ctx)).token
  return `dvb_${randomBase62(27)}`
}
