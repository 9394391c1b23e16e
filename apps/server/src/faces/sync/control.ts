import type { Access, CloseReason, Connection, Renewals, SyncEngine } from '../../domains/sync/index.ts'
import type { Gate } from './credentials.ts'

/** A text frame: one object whose `t` says what it is. What is unknown is ignored by both sides. */
export type ControlFrame = { t: string; [key: string]: unknown }

/** @returns undefined for what is no JSON object with a `t` */
export function parseControl(text: string): ControlFrame | undefined {
  try {
    const frame = JSON.parse(text)
    return typeof frame === 'object' && frame !== null && typeof frame.t === 'string' ? frame : undefined
  } catch {
    return undefined
  }
}

/** The token of an `auth` frame. A longer one than a request could carry is none. */
export function tokenIn(frame: ControlFrame | undefined): string | undefined {
  if (frame?.t !== 'auth' || typeof frame.token !== 'string') return undefined
  return frame.token.length > 0 && frame.token.length <= 8192 ? frame.token : undefined
}

/** The answer to an accepted token. `expiresAt`: milliseconds since 1970, `null` when it does not end. */
export const authedFrame = (expiresAt: number | undefined, access: Access) => ({
  t: 'authed',
  expiresAt: expiresAt === undefined ? null : expiresAt * 1000,
  access,
})

type Options = {
  engine: SyncEngine
  gate: Gate
  renewals: Renewals
  /** Frames of an open connection that are no business of the connection itself. */
  onText?: ((connection: Connection, frame: ControlFrame) => void) | undefined
  /** A connection rests on a new credential. */
  onJudged?: ((connection: Connection) => void) | undefined
}

/** Text frames of open connections that named a subprotocol: liveness, renewal, and what others understand. */
export function createControl({ engine, gate, renewals, onText, onJudged }: Options) {
  const { limits } = engine

  function receive(connection: Connection, text: string) {
    if (connection.state === 'closing') return
    if (text.length > limits.textBytes) return engine.close(connection, 'too_large', 'the text frame is too large')
    const waitMs = connection.take(text.length, limits, performance.now())
    // A client that reads what it is told stops long before: each frame beyond its share was answered with an error.
    if (waitMs > 10_000) return engine.close(connection, 'rate_limited', JSON.stringify({ retryAfterMs: 10_000 }))
    const frame = parseControl(text)
    if (!frame) return engine.close(connection, 'malformed', 'a text frame is an object with "t"')
    connection.heard = true
    if (waitMs > 0) return refuse(connection, 'rate_limited', 'too many messages', frame, Math.ceil(waitMs))
    switch (frame.t) {
      case 'ping':
        return connection.sendText({ t: 'pong' })
      case 'auth':
        void renew(connection, frame)
        return
      default:
        return onText?.(connection, frame)
    }
  }

  /**
   * Takes a new token on an open connection. Somebody else's, one for another document or a wrong one changes nothing:
   * the connection goes on until its own end. One of the same person carries what it carries, more or less.
   */
  async function renew(connection: Connection, frame: ControlFrame): Promise<void> {
    const token = tokenIn(frame)
    if (token === undefined) return refuse(connection, 'malformed', 'there is no token', frame)
    if (connection.isRenewing) return refuse(connection, 'rate_limited', 'a token is being looked at', frame, 1000)
    connection.isRenewing = true
    try {
      const { key: docId, ip, host, origin, subprotocol } = connection
      const admission = await gate({ docId, ip, host, subprotocol, token, via: 'message', origin })
      if (connection.state === 'closing') return
      if (!admission.admitted) {
        if ('status' in admission) {
          const isRate = admission.status === 429
          return refuse(
            connection,
            isRate ? 'rate_limited' : 'forbidden',
            admission.message,
            frame,
            isRate ? 60_000 : undefined,
          )
        }
        const { principal, reason, message } = admission
        // Genuine, of the same person, and without the right: then it has gone for this connection too.
        if (reason === 'forbidden' && principal && isSame(connection, principal))
          return engine.close(connection, reason, message)
        return refuse(connection, reason, message, frame)
      }
      if (!isSame(connection, admission.principal))
        return refuse(connection, 'forbidden', 'the token is somebody else’s', frame)
      engine.setPrincipal(connection, admission.principal)
      connection.granted = admission.granted
      connection.judgedAt = admission.judgedAt ?? 0
      renewals.watch(connection, admission.expiresAt)
      connection.sendText(authedFrame(admission.expiresAt, admission.access))
      engine.setAccess(connection, admission.access)
      onJudged?.(connection)
    } catch {
      refuse(connection, 'storage_unavailable', 'the token cannot be checked now', frame, 1000)
    } finally {
      connection.isRenewing = false
    }
  }

  return { receive }
}

/** Whether two credentials are the same person's in the same instance. Shared tokens are nobody's: any of them will do. */
function isSame({ principal }: Connection, other: Connection['principal']): boolean {
  return (
    principal.instanceId === other.instanceId &&
    principal.userId === other.userId &&
    isShared(principal) === isShared(other)
  )
}

const isShared = ({ kind }: Connection['principal']) => kind === 'static' || kind === 'anonymous'

function refuse(
  connection: Connection,
  code: CloseReason,
  message: string,
  { id }: ControlFrame,
  retryAfterMs?: number,
) {
  const about = typeof id === 'number' || (typeof id === 'string' && id.length <= 128) ? { id } : {}
  connection.sendText({ t: 'err', ...about, code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) })
}
