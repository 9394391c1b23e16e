import { z } from 'zod'
import { currentTenant } from '@/access/current-tenant'

const Body = z.object({ documentId: z.string().max(255) })

/** Seconds. The browser asks again before every connection, so a token need not live longer than a slow network. */
const tokenTtl = 300

/**
 * Exchanges the caller's session for a token that opens one document. This app decides who may do what; Usher
 * enforces it on the socket, and cuts it when the session, the membership or the role changes.
 */
export async function POST(request: Request): Promise<Response> {
  const tenant = await currentTenant()
  if (!tenant) return Response.json({ error: 'signed_out' }, { status: 401 })
  const body = Body.safeParse(await request.json().catch(() => null))
  if (!body.success) return Response.json({ error: 'invalid_request' }, { status: 400 })
  // The tenant of the session, not the id in the request, says which document this may be.
  if (!tenant.canRead || body.data.documentId !== `${tenant.id}/note`) {
    return Response.json({ error: 'forbidden' }, { status: 403 })
  }

  const access = tenant.canWrite ? 'write' : 'read'
  const answer = await fetch(`${process.env.CLERK_API_URL}/v1/sync_tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${process.env.CLERK_SECRET_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      doc_id: body.data.documentId,
      user_id: tenant.userId,
      session_id: tenant.sessionId,
      access,
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
  return Response.json({ url, token, access }, { headers: { 'cache-control': 'no-store' } })
}
