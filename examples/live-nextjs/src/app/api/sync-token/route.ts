import { auth } from '@clerk/nextjs/server'
import { z } from 'zod'

const Body = z.object({ documentId: z.string().max(255) })

/** Seconds. The browser asks again before every connection, and when a token is about to end. */
const tokenTtl = 120

/**
 * Exchanges the caller's session for a token that opens the organization's secret document. It says who may carry
 * ciphertext in and out; who can read it, the passphrase decides, which no server ever sees.
 */
export async function POST(request: Request): Promise<Response> {
  const { userId, sessionId, orgId, has } = await auth()
  if (!userId) return Response.json({ error: 'signed_out' }, { status: 401 })
  const body = Body.safeParse(await request.json().catch(() => null))
  if (!body.success) return Response.json({ error: 'invalid_request' }, { status: 400 })
  if (!orgId || body.data.documentId !== `${orgId}/secret` || !has({ permission: 'org:chat:read' })) {
    return Response.json({ error: 'forbidden' }, { status: 403 })
  }
  const answer = await fetch(`${process.env.CLERK_API_URL}/v1/sync_tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${process.env.CLERK_SECRET_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      doc_id: body.data.documentId,
      user_id: userId,
      session_id: sessionId,
      access: has({ permission: 'org:chat:write' }) ? 'write' : 'read',
      expires_in_seconds: tokenTtl,
    }),
    cache: 'no-store',
  })
  // The session token was good for its minute still, but the session behind it has ended.
  if (answer.status === 404) return Response.json({ error: 'signed_out' }, { status: 401 })
  if (!answer.ok) {
    console.error(`Usher refused a sync token with status ${answer.status}.`)
    return Response.json({ error: 'unavailable' }, { status: 502 })
  }
  const { url, token } = (await answer.json()) as { url: string; token: string }
  return Response.json({ url, token }, { headers: { 'cache-control': 'no-store' } })
}
