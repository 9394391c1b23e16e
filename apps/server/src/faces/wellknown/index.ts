import { Hono } from 'hono'
import { type Env, jsonResponse, publicUrlOf, resolveInstance } from '../http.ts'
import { publicKeySet } from './jwks.ts'

/** Discovery documents and the signs of life. */
export function wellknownFace(): Hono<Env> {
  const face = new Hono<Env>()
  face.get('/healthz', () => jsonResponse({ status: 'ok' }))
  face.get('/readyz', async (c) => {
    try {
      await c.var.runtime.database.ping()
      return jsonResponse({ status: 'ready' })
    } catch {
      return jsonResponse({ status: 'unavailable', reason: 'the database does not answer' }, 503)
    }
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
  return face
}
