import { Hono } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import { metrics } from '../../kernel/metrics.ts'
import { publicUrlOf } from '../../runtime.ts'
import { type Env, jsonResponse, resolveInstance } from '../http.ts'
import { maySeeMetrics } from '../metrics.ts'
import { publicKeySet } from './jwks.ts'

/** Discovery documents and the signs of life. */
export function wellknownFace(): Hono<Env> {
  const face = new Hono<Env>()
  face.get('/healthz', () => jsonResponse({ status: 'ok' }))
  face.get('/readyz', async (c) => {
    const { database, node, cluster } = c.var.runtime
    try {
      await database.ping()
    } catch {
      return jsonResponse({ status: 'unavailable', reason: 'the database does not answer' }, 503)
    }
    if (node && !node.inPlace)
      return jsonResponse({ status: 'unavailable', reason: 'another server runs on the database' }, 503)
    // Without Redis the nodes serve on, and hear of each other later.
    return jsonResponse({ status: 'ready', ...(cluster.isShared && { redis: cluster.connected ? 'ok' : 'away' }) })
  })
  face.get('/metrics', async (c) => {
    if (!maySeeMetrics(c.req.raw.headers, c.env.ip, c.var.runtime.config.metricsToken))
      throw new UsherError('resource_not_found', 'There is nothing at this address.')
    return new Response(await metrics.metrics(), { headers: { 'content-type': metrics.contentType } })
  })
  face.get('/.well-known/jwks.json', resolveInstance, (c) => {
    const response = jsonResponse(publicKeySet(c.var.instance))
    response.headers.set('access-control-allow-origin', '*')
    response.headers.set('cache-control', 'public, max-age=300')
    return response
  })
  face.get('/.well-known/openid-configuration', resolveInstance, (c) => {
    const base = publicUrlOf(c.var.runtime, c.var.instance)
    return jsonResponse({
      issuer: `https://${c.var.instance.host}`,
      jwks_uri: `${base}/.well-known/jwks.json`,
      id_token_signing_alg_values_supported: ['RS256'],
      response_types_supported: [],
      subject_types_supported: ['public'],
    })
  })
  // Browsers read it on the host that passkeys are for, from where it is proxied here, before they let the
  // application's other origins use them (WebAuthn Level 3 section 5.11).
  face.get('/.well-known/webauthn', resolveInstance, (c) => {
    const { passkeys, homeUrl, signInUrl, signUpUrl, allowedOrigins } = c.var.instance.settings
    if (!passkeys.enabled) throw new UsherError('resource_not_found', 'There is nothing at this address.')
    const urls = [homeUrl, signInUrl, signUpUrl, ...allowedOrigins].filter((url) => url !== undefined)
    const origins = [...new Set(urls.map((url) => new URL(url).origin))]
    return jsonResponse({ origins })
  })
  return face
}
