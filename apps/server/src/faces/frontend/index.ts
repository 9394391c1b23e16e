import { Hono } from 'hono'
import { type Env, resolveInstance } from '../http.ts'

/** The browser API under `/v1`, for the unmodified browser SDKs. */
export function frontendFace(): Hono<Env> {
  const face = new Hono<Env>()
  face.use(resolveInstance)
  return face
}
