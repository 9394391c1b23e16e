import { type Context, Hono } from 'hono'
import { z } from 'zod'
import {
  BackendSyncTokenInput,
  createSyncTokenForBackend,
  createSyncTokenForSession,
  SessionSyncTokenInput,
  type SyncToken,
} from '../../domains/sync/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { parseJsonBody } from '../../kernel/json.ts'
import { publicUrlOf } from '../../runtime.ts'
import { type Env, jsonResponse } from '../http.ts'
import { readText } from '../read-text.ts'

/** A document's id and little else. */
const maxBodyBytes = 16 * 1024

const SessionBody = z.strictObject({ doc_id: z.string() })
const BackendBody = z.strictObject({
  doc_id: z.string(),
  user_id: z.string(),
  session_id: z.string().optional(),
  access: z.enum(['read', 'write']),
  expires_in_seconds: z.coerce.number().optional(),
})

/** `POST /v1/sync/token`: a token for one document, for the signed-in browser. */
export function syncFrontendRoutes(): Hono<Env> {
  return new Hono<Env>().post('/sync/token', async (c) => {
    if (!c.var.ctx) throw new UsherError('authentication_invalid', 'Sign in to open a document.')
    const body = await parseBody(c, SessionBody)
    const input = parse(SessionSyncTokenInput, { docId: body.doc_id, origin: c.req.header('origin') })
    return present(c, await createSyncTokenForSession(c.var.ctx, input))
  })
}

/** `POST /v1/sync_tokens`: a token for one document, for the application's server. */
export function syncBackendRoutes(): Hono<Env> {
  return new Hono<Env>().post('/sync_tokens', async (c) => {
    const body = await parseBody(c, BackendBody)
    const input = parse(BackendSyncTokenInput, {
      docId: body.doc_id,
      userId: body.user_id,
      sessionId: body.session_id,
      access: body.access,
      expiresInSeconds: body.expires_in_seconds,
    })
    return present(c, await createSyncTokenForBackend(c.var.ctx, input))
  })
}

/** `url` is what a stock client takes as its server URL; it adds the document id itself. */
function present(c: Context<Env>, { token, docId, access, expiresAt }: SyncToken): Response {
  // Not the address of a proxy in front of the browser API: that one passes requests on, and no sockets.
  const url = `${publicUrlOf(c.var.runtime, c.var.instance).replace(/^http/, 'ws')}/sync`
  return jsonResponse({ object: 'sync_token', url, token, doc_id: docId, access, expires_at: expiresAt.getTime() })
}

async function parseBody<T extends z.ZodType>(c: Context<Env>, schema: T): Promise<z.infer<T>> {
  const text = await readText(c, maxBodyBytes)
  const isForm = c.req.header('content-type')?.startsWith('application/x-www-form-urlencoded')
  const body = isForm ? Object.fromEntries(new URLSearchParams(text)) : jsonOf(text)
  if (body === undefined) throw new UsherError('request_body_invalid', 'The body is not JSON.')
  return parse(schema, body)
}

function jsonOf(text: string): unknown {
  try {
    return parseJsonBody(text)
  } catch {
    return undefined
  }
}

function parse<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const param = String(issue?.path[0] ?? '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  throw new UsherError('form_param_format_invalid', `${param || 'The body'} is invalid.`, { ...(param && { param }) })
}
