import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { hashToken } from '../../kernel/secrets.ts'
import { noteUse } from './note-use.ts'
import { type ApiKey, findByHash } from './queries.ts'

/**
 * The key behind a secret that somebody showed to the application. It is read each time, with its subject and its maker:
 * what was revoked, banned, removed or demoted a moment ago is refused, on every node.
 *
 * @throws {UsherError} `resource_not_found`, whatever is wrong with it; `forbidden`
 */
export async function verifyApiKey(ctx: Ctx | Tx, secret: string): Promise<ApiKey> {
  requireApplication(ctx)
  const key = /^ak_[0-9A-Za-z]{20,200}$/.test(secret)
    ? await transaction(ctx, (tx) => findByHash(tx, hashToken(secret)))
    : undefined
  if (!key || key.revoked || key.expired || key.suspended)
    throw new UsherError('resource_not_found', 'This API key is not good, or not any more.')
  noteUse(ctx, key)
  return key
}
