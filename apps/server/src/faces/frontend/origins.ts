import type { Context, MiddlewareHandler } from 'hono'
import type { Instance } from '../../domains/instances/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { FrontendEnv } from './env.ts'

/**
 * Whether pages of an origin may use this instance. Origins are compared as parsed scheme, host and port, never as
 * text: `https://app.example.com.evil.test` and `https://app.example.com@evil.test` are other origins.
 *
 * @param publicUrl where browsers reach this face; behind an application's own proxy that is the application
 */
export function isTrustedOrigin(instance: Instance, publicUrl: string, value: string): boolean {
  const known = judged.get(instance) ?? new Map<string, boolean>()
  const key = `${publicUrl} ${value}`
  const before = known.get(key)
  if (before !== undefined) return before
  const trusted = judgeOrigin(instance, publicUrl, value)
  // Anybody can send any number of origins: what does not fit is judged each time.
  if (known.size < maxJudged && key.length < 300) judged.set(instance, known.set(key, trusted))
  return trusted
}

/** Each request asks two or three times about the same few origins. Other settings are another instance here. */
const judged = new WeakMap<Instance, Map<string, boolean>>()
const maxJudged = 200

function judgeOrigin(instance: Instance, publicUrl: string, value: string): boolean {
  const origin = parseOrigin(value)
  if (!origin) return false
  const { allowedOrigins, homeUrl, signInUrl, signUpUrl } = instance.settings
  const configured = [publicUrl, ...allowedOrigins, homeUrl, signInUrl, signUpUrl]
  if (configured.some((url) => url !== undefined && parseOrigin(url)?.origin === origin.origin)) return true
  if (origin.host === instance.host && (origin.protocol === 'https:' || instance.environment === 'development'))
    return true
  return instance.environment === 'development' && isLoopback(origin.hostname)
}

/** An http(s) URL without credentials; undefined for anything else, the `null` origin included. */
export function parseOrigin(value: string): URL | undefined {
  if (!URL.canParse(value)) return undefined
  const url = new URL(value)
  return /^https?:$/.test(url.protocol) && !url.username && !url.password ? url : undefined
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127(\.\d{1,3}){3}$/.test(hostname)
  )
}

/**
 * Refuses what another site's page sends, and tells browsers which pages may read the answers. Calls that no browser
 * made carry none of these headers and pass: without a browser there is no cookie to abuse.
 *
 * @throws {UsherError} `origin_invalid`
 */
export const guardOrigin: MiddlewareHandler<FrontendEnv> = async (c, next) => {
  const origin = c.req.header('origin')
  const trusted = origin !== undefined && isTrusted(c, origin)
  if (c.req.method === 'OPTIONS') return trusted ? preflight(c, origin) : new Response(null, { status: 403 })
  if (origin !== undefined ? !trusted : !isPlausibleWithoutOrigin(c))
    throw new UsherError('origin_invalid', 'Requests from this origin are not allowed.')
  await next()
  if (trusted) allowReading(c.res.headers, origin)
}

const isTrusted = (c: Context<FrontendEnv>, value: string) =>
  isTrustedOrigin(c.get('instance'), c.get('publicUrl'), value)

/** Browsers leave `Origin` out of same-origin GETs and of navigations; what they write always has it or these. */
function isPlausibleWithoutOrigin(c: Context<FrontendEnv>): boolean {
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return true
  const site = c.req.header('sec-fetch-site')
  if (site !== undefined && site !== 'same-origin') return false
  const referer = c.req.header('referer')
  return referer === undefined || isTrusted(c, referer)
}

function allowReading(headers: Headers, origin: string): void {
  headers.set('access-control-allow-origin', origin)
  headers.set('access-control-allow-credentials', 'true')
  headers.set('access-control-expose-headers', 'Clerk-Db-Jwt, Authorization, retry-after, x-clerk-trace-id')
  headers.append('vary', 'Origin')
}

function preflight(c: Context<FrontendEnv>, origin: string): Response {
  const headers = new Headers({
    'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
    'access-control-allow-headers': c.req.header('access-control-request-headers')?.slice(0, 1000) ?? '',
    'access-control-max-age': '600',
  })
  allowReading(headers, origin)
  return new Response(null, { status: 204, headers })
}

/** The origin of the application that asks, for `azp`: from the page, else from the proxy that it came through. */
export function applicationOrigin(c: Context<FrontendEnv>): string | undefined {
  const from = [c.req.header('origin'), c.req.header('referer')].find((v) => v !== undefined && isTrusted(c, v))
  if (from) return parseOrigin(from)?.origin
  return c.req.header('clerk-proxy-url') ? parseOrigin(c.get('publicUrl'))?.origin : undefined
}
