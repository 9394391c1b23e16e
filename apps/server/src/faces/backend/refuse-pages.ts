import type { Context } from 'hono'
import { UsherError } from '../../kernel/errors.ts'
import type { Env } from '../http.ts'

/**
 * A secret key that comes from a page is in the hands of everybody who opens the page. Browsers send `Origin` with every
 * request that has an `Authorization` of a script's making and leads elsewhere; servers do not send it.
 *
 * @throws {UsherError} `origin_invalid`
 */
export function refusePages(c: Context<Env>): void {
  const origin = c.req.header('origin')
  if (origin === undefined) return
  c.var.log.warn({ instance: c.var.instance.id, origin }, 'a page used the secret key: it has leaked, replace it')
  throw new UsherError('origin_invalid', 'The secret key is for servers: no page may hold it.')
}
