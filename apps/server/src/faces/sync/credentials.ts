import type { Access, CloseReason, Principal } from '../../domains/sync/index.ts'

/** What a client offers when it asks for a socket. Nothing in here comes from a cookie: cookies never authenticate. */
export type Offer = {
  docId: string
  /** From `?token=` or the subprotocol `bearer.<base64url>`. */
  token: string | undefined
  /** Undefined: no browser, or a proxy that removed it. */
  origin: string | undefined
  host: string
  ip: string
}

export type Admission =
  /** `granted` is what the credential carries, `access` what it is good for now. */
  | { admitted: true; principal: Principal; access: Access; granted: Access; judgedAt?: number }
  /** Let in to be told why: a browser shows the close code only. */
  | { admitted: false; reason: CloseReason; message: string }
  /** Answered over HTTP, without a socket. */
  | { admitted: false; status: 403 | 429; message: string; retryAfterSeconds?: number }

/** One of the gradations: decides who comes in. */
export type Gate = (offer: Offer) => Promise<Admission> | Admission

/** Where a token may stand in a request. A subprotocol is preferred: it is in no proxy's log. */
export function tokenOf(url: URL, protocols: readonly string[]): string | undefined {
  const bearer = protocols.find((protocol) => protocol.startsWith('bearer.'))
  if (bearer) return Buffer.from(bearer.slice('bearer.'.length), 'base64url').toString('utf8')
  return url.searchParams.get('token') ?? undefined
}

/** Whether a page came from this machine itself. */
export function isLoopbackOrigin(origin: string): boolean {
  if (!URL.canParse(origin)) return false
  const { hostname, protocol } = new URL(origin)
  const isLoopback =
    hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '127.0.0.1' || hostname === '[::1]'
  return isLoopback && (protocol === 'http:' || protocol === 'https:')
}
