import { Hono } from 'hono'
import type { Env } from '../http.ts'

/** The pages that Usher itself shows: landing page, development inbox, demo, and the SDK files it serves. */
export function platformFace(): Hono<Env> {
  return new Hono<Env>()
}
