import { feedOf } from './auth-feed.ts'
import { LiveAuth, type Requirement } from './live-auth.ts'
import { redeemTicket } from './tickets.ts'
import { type UsherServer, UsherUnavailable } from './usher-server.ts'
import { type Claims, verifyToken } from './verify-token.ts'

export type Credential = { token: string } | { ticket: string }

/** A refusal with its close code. The reason is for developers and holds nothing of the credential. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: 4001 | 4401 | 4403 | 4503

  constructor(code: Refusal['code'], reason: string) {
    super(reason)
    this.code = code
  }
}

/**
 * From a credential to somebody whose rights are known at this moment, and followed from now on.
 *
 * @throws {Refusal} no good credential (4001), an ended session (4401), no right (4403), Usher is away (4503)
 */
export async function enter(
  server: UsherServer,
  credential: Credential | undefined,
  options: { require?: Requirement | undefined; room?: string | undefined; origin?: string | undefined } = {},
): Promise<LiveAuth> {
  if (!credential) throw new Refusal(4001, 'A credential is needed.')
  try {
    const claims =
      'token' in credential ? await verifyToken(server, credential.token) : redeemTicket(server, credential.ticket)
    if (!claims) throw new Refusal(4001, 'The credential is wrong, expired or used.')
    // One that was made for the page of one application is not for the pages of another.
    if (claims.origin && options.origin && claims.origin !== options.origin)
      throw new Refusal(4001, 'The credential is for another application.')
    refuseOtherRooms(claims, options.room)

    // Listening comes first, asking second: what happens in between is heard.
    const feed = feedOf(server)
    const { userId, sessionId = null, organizationId = null } = claims
    const actor = { userId, sessionId, organizationId, role: null, permissions: [] }
    const auth = new LiveAuth(actor, claims.expiresAt, claims.document)
    try {
      await feed.add(auth)
      await feed.check(auth)
    } catch (error) {
      auth.end('unverifiable')
      throw error
    }
    if (auth.ended === 'session_ended') throw new Refusal(4401, 'The session has ended.')
    if (auth.ended === 'expired') throw new Refusal(4001, 'The credential has expired.')
    if (auth.ended) throw new Refusal(4403, 'Not a member.')
    if (options.require) {
      const required = options.require
      if (!auth.has(required)) {
        auth.end('forbidden')
        throw new Refusal(4403, 'Not permitted.')
      }
      auth.onChanged(() => auth.has(required) || auth.end('forbidden'))
    }
    return auth
  } catch (error) {
    if (error instanceof UsherUnavailable) throw new Refusal(4503, 'Nobody can be verified at the moment.')
    throw error
  }
}

/**
 * A new token for a connection that goes on.
 *
 * @returns false if it is no good, or somebody else's: the connection then goes on to its own end
 */
export async function renew(server: UsherServer, auth: LiveAuth, token: string, room?: string): Promise<boolean> {
  const claims = await verifyToken(server, token)
  if (!claims) return false
  const { userId, sessionId, organizationId } = auth.actor
  const isSame =
    claims.userId === userId &&
    (claims.sessionId ?? null) === sessionId &&
    (claims.organizationId ?? null) === organizationId &&
    claims.document?.room === auth.document?.room &&
    claims.document?.access === auth.document?.access
  if (!isSame || (claims.document && claims.document.room !== room)) return false
  auth.extend(claims.expiresAt)
  return !auth.ended
}

/** A token for one document opens that one and nothing else; a session's is judged by `require`. */
function refuseOtherRooms({ document }: Claims, room: string | undefined): void {
  if (document && document.room !== room) throw new Refusal(4403, 'The token is for another document.')
}
