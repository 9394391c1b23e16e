import { Hono } from 'hono'
import { deleteDocument, isDocId } from '../../domains/sync/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Env, jsonResponse } from '../http.ts'

/** `DELETE /v1/documents/:docId`. An id may hold slashes, as they are or encoded. */
export function documentRoutes(): Hono<Env> {
  return new Hono<Env>().delete('/documents/:docId{.+}', async (c) => {
    const docId = c.req.param('docId')
    if (!isDocId(docId)) throw new UsherError('resource_not_found', 'There is no such document.')
    await deleteDocument(c.var.ctx, docId)
    return jsonResponse({ object: 'document', id: docId, deleted: true })
  })
}
