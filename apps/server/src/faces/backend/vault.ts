import { Hono } from 'hono'
import { isDocId } from '../../domains/sync/index.ts'
import { findDocumentReaders } from '../../domains/vault/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Env, jsonResponse } from '../http.ts'
import { presentVaultDocument } from '../presenters/vault.ts'

/** What an application's server may know of encrypted documents: who holds keys, and never a key. */
export function vaultRoutes(): Hono<Env> {
  return new Hono<Env>().get('/vault/documents', async (c) => {
    const docId = c.req.query('doc_id')
    if (docId === undefined || !isDocId(docId))
      throw new UsherError('form_param_format_invalid', 'doc_id is invalid.', { param: 'doc_id' })
    return jsonResponse(presentVaultDocument(await findDocumentReaders(c.var.ctx, docId)))
  })
}
