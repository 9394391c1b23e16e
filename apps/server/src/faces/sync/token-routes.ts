import { Hono } from 'hono'
import type { Env } from '../http.ts'

/** `POST /v1/sync/token`: a token for one document, for the signed-in browser. */
export function syncFrontendRoutes(): Hono<Env> {
  return new Hono<Env>()
}

/** `POST /v1/sync_tokens`: a token for one document, for the application's server. */
export function syncBackendRoutes(): Hono<Env> {
  return new Hono<Env>()
}
