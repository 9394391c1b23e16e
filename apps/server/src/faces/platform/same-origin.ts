import type { MiddlewareHandler } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import type { Env } from '../http.ts'

/** No other page may post here on behalf of somebody who only has this one open. */
export const sameOriginOnly: MiddlewareHandler<Env> = async (c, next) => {
  const origin = c.req.header('origin')
  // The address that is configured, or the one that was called: proxies may not pass `Host` on.
  const own =
    origin !== undefined &&
    URL.canParse(origin) &&
    (new URL(origin).host === c.req.header('host') || origin === new URL(c.var.publicUrl).origin)
  if (!own || (c.req.header('sec-fetch-site') ?? 'same-origin') !== 'same-origin')
    throw new UsherError('origin_invalid', 'This form is sent from its own page only.')
  await next()
}
