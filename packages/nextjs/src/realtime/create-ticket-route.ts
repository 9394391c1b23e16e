import { isOwnOrigin } from './origin.ts'
import { issueTicket } from './tickets.ts'
import { defaultServer, type UsherServer, UsherUnavailable } from './usher-server.ts'
import { type Claims, verifyToken } from './verify-token.ts'

type Options = {
  /** Exact origins of the application's pages; without it the host that the request was sent to. */
  origins?: readonly string[]
  server?: UsherServer
}

/**
 * `export const POST = createTicketRoute()`: exchanges the session cookie for a ticket, `{ ticket, expiresAt }`, that opens
 * one socket within 30 s. This is the only place where a cookie counts: a socket with cookies alone could be opened by any
 * page on the web, a POST of JSON from another origin cannot be sent.
 *
 * Answers 415 to anything but JSON, 403 to other origins, 401 without a living session, 503 while Usher is away.
 */
export function createTicketRoute({ origins, server }: Options = {}): (request: Request) => Promise<Response> {
  return async (request) => {
    const usher = server ?? defaultServer()
    if (request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() !== 'application/json')
      return answer(415, { error: 'json_expected' })
    if (!isOwnOrigin(request.headers, origins)) return answer(403, { error: 'origin_refused' })
    try {
      for (const token of tokensIn(request.headers)) {
        const claims = await verifyToken(usher, token)
        if (!claims?.sessionId || claims.document) continue
        // Cookies are shared by all ports of a host: one that another application has left is not ours.
        if (claims.origin && claims.origin !== request.headers.get('origin')) continue
        const session = await usher.findSession(claims.sessionId)
        if (session?.userId !== claims.userId) continue
        const whole: Claims & { sessionId: string } = {
          ...claims,
          sessionId: claims.sessionId,
          expiresAt: session.expiresAt,
        }
        return answer(200, issueTicket(usher, whole))
      }
    } catch (error) {
      if (error instanceof UsherUnavailable) return answer(503, { error: 'unavailable' })
      throw error
    }
    return answer(401, { error: 'signed_out' })
  }
}

function answer(status: number, body: object): Response {
  return Response.json(body, { status, headers: { 'cache-control': 'no-store' } })
}

/** Session tokens of a request: a bearer, then the cookie of this instance, then the one without a suffix. */
function tokensIn(headers: Headers): string[] {
  const bearer = headers.get('authorization')?.match(/^Bearer (.+)$/i)?.[1]
  if (bearer) return [bearer]
  const cookies = (headers.get('cookie') ?? '').split(/;\s*/).map((pair) => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at), pair.slice(at + 1)] as const
  })
  const named = (test: RegExp) => cookies.filter(([name]) => test.test(name)).map(([, value]) => value)
  // Several instances on one host leave several: those that are not ours fail by their signature.
  return [...named(/^__session_[\w-]+$/), ...named(/^__session$/)].slice(0, 8)
}
