import { Hono } from 'hono'
import { findImage } from '../../domains/images/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { createCtx } from '../../runtime.ts'
import type { FrontendEnv } from './context.ts'

/** `/v1/images/{id}`: pictures, for everybody who knows their address. Each is one picture for ever. */
export function imageRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.get('/images/:id', async (c) => {
    const ctx = createCtx(c.var.runtime, c.var.instance, { type: 'anonymous' }, c.var.log)
    const image = await findImage(ctx, c.req.param('id'))
    if (!image) throw new UsherError('resource_not_found', 'There is no such picture.')
    const etag = `"${image.digest}"`
    const headers = {
      etag,
      'cache-control': 'public, max-age=31536000, immutable',
      'content-type': image.contentType,
      // Whatever somebody managed to upload is a picture, or nothing.
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
      'content-disposition': 'inline',
      'cross-origin-resource-policy': 'cross-origin',
      'access-control-allow-origin': '*',
    }
    if (c.req.header('if-none-match')?.includes(etag)) return new Response(null, { status: 304, headers })
    return new Response(new Uint8Array(image.bytes), { headers })
  })
  return routes
}
