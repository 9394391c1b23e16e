import type { Access, CloseReason, Principal, Subprotocol } from '../../domains/sync/index.ts'

/** What a client offers when it asks for a socket. Nothing in here comes from a cookie: cookies never authenticate. */
export type Offer = {
  docId: string
  token: string | undefined
  /** Where it stood: `?token=`, the subprotocol `bearer.<base64url>`, or a message on the open socket. */
  via: 'query' | 'subprotocol' | 'message'
  /** A named client can still show its credential once the socket is open. */
  subprotocol: Subprotocol
  /** Undefined: no browser, or a proxy that removed it. */
  origin: string | undefined
  host: string
  ip: string
}

export type Admission =
  /**
   * `granted` is what the credential carries, `access` what it is good for now. `expiresAt`: seconds since 1970 at
   * which the credential ends, undefined: never.
   */
  | {
      admitted: true
      principal: Principal
      access: Access
      granted: Access
      expiresAt?: number | undefined
      /** Names the token, where it has a name. */
      jti?: string | undefined
      judgedAt?: number
    }
  /** Let in to be told why: a browser shows the close code only. */
  | Refused
  /** Answered over HTTP, without a socket. */
  | { admitted: false; status: 403 | 429; message: string; retryAfterSeconds?: number }

export type Refused = {
  admitted: false
  reason: CloseReason
  message: string
  /** Whose credential it is, when it is genuine and only the right is missing. */
  principal?: Principal
  /** There was no credential at all: one may still come as the first message. */
  missing?: true
}

/** One of the gradations: decides who comes in. */
export type Gate = (offer: Offer) => Promise<Admission> | Admission

/** Where a token may stand in a request. A subprotocol is preferred: it is in no proxy's log. */
export function tokenOf(url: URL, protocols: readonly string[]): Pick<Offer, 'token' | 'via'> {
  const bearer = protocols.find((protocol) => protocol.startsWith('bearer.'))
  if (bearer)
    return { token: Buffer.from(bearer.slice('bearer.'.length), 'base64url').toString('utf8'), via: 'subprotocol' }
  return { token: url.searchParams.get('token') ?? undefined, via: 'query' }
}

/** The protocol to speak: the first of the client's that is known here. */
export function subprotocolOf(protocols: readonly string[]): Subprotocol {
  for (const protocol of protocols) if (protocol === 'usher.v1' || protocol === 'usher.encrypted.v1') return protocol
  return ''
}

/** Whether a page came from this machine itself. */
export function isLoopbackOrigin(origin: string): boolean {
  if (!URL.canParse(origin)) return false
  const { hostname, protocol } = new URL(origin)
  const isLoopback =
    hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '127.0.0.1' || hostname === '[::1]'
  return isLoopback && (protocol === 'http:' || protocol === 'https:')
}
