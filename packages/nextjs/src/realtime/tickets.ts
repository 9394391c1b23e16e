import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from './process-state.ts'
import type { UsherServer } from './usher-server.ts'
import type { Claims } from './verify-token.ts'

export const ticketTtlMs = 30_000

type Ticket = { id: string; sub: string; sid: string; org: string | null; end: number; exp: number }

/**
 * A ticket for one socket: signed, good for 30 s, and taken once. It goes into an address, so it must be worth nothing
 * to whoever reads the address in a log later.
 *
 * @param claims.expiresAt end of the session: the socket lives as long as that, unless it is revoked
 */
export function issueTicket(
  server: UsherServer,
  claims: Claims & { sessionId: string },
): { ticket: string; expiresAt: number } {
  const expiresAt = Date.now() + ticketTtlMs
  const ticket: Ticket = {
    id: randomBytes(16).toString('base64url'),
    sub: claims.userId,
    sid: claims.sessionId,
    org: claims.organizationId ?? null,
    end: claims.expiresAt,
    exp: expiresAt,
  }
  const body = Buffer.from(JSON.stringify(ticket)).toString('base64url')
  return { ticket: `${body}.${sign(server, body).toString('base64url')}`, expiresAt }
}

/** @returns undefined for one that is false, too old or taken */
export function redeemTicket(server: UsherServer, value: string): Claims | undefined {
  const [body, signature, more] = value.length <= 2048 ? value.split('.') : []
  if (!body || !signature || more !== undefined) return undefined
  const given = Buffer.from(signature, 'base64url')
  const right = sign(server, body)
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined
  const ticket = JSON.parse(Buffer.from(body, 'base64url').toString()) as Ticket
  if (ticket.exp <= Date.now() || !take(ticket)) return undefined
  return {
    userId: ticket.sub,
    sessionId: ticket.sid,
    organizationId: ticket.org ?? undefined,
    expiresAt: ticket.end,
  }
}

/** Ids of tickets that were taken, until they would have expired anyway. */
const taken = () => once('tickets', () => new Map<string, number>())

function take({ id, exp }: Ticket): boolean {
  const ids = taken()
  const now = Date.now()
  // In the order they were taken, which is about that of their ends: whatever lies behind a living one waits its turn.
  for (const [old, end] of ids) {
    if (end > now) break
    ids.delete(old)
  }
  if (ids.has(id)) return false
  ids.set(id, exp)
  return true
}

/** The key is made from the secret key, for this purpose alone: every process of the application has the same. */
function sign(server: UsherServer, body: string): Buffer {
  const key = createHmac('sha256', server.secretKey).update('usher/nextjs/ticket/v1').digest()
  return createHmac('sha256', key).update(body).digest()
}
