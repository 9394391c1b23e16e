import type { Context } from 'hono'
import { UsherError } from '../kernel/errors.ts'
import type { Env } from './http.ts'

/**
 * The text of a body. What is larger than its reader has a use for is not read to its end: the server takes 15 MB, for
 * pictures, and to take a form or JSON of that size apart keeps everybody else waiting for seconds. Once for a request.
 *
 * @throws {UsherError} `request_too_large`
 */
export async function readText<E extends Env>(c: Context<E>, maxBytes: number): Promise<string> {
  const declared = c.req.header('content-length')
  if (Number(declared ?? 0) > maxBytes) throw tooLarge()
  // Where both are named, the length counts for nothing.
  if (declared !== undefined && c.req.header('transfer-encoding') === undefined) return c.req.text()
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.byteLength
    if (size > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const tooLarge = () => new UsherError('request_too_large', 'The body is too large.')
