import type { WebSocket } from 'ws'
import { type Credential, enter, Refusal, renew } from './enter.ts'
import { type Actor, closeCodeOf, type EndReason, type LiveAuth, type Requirement } from './live-auth.ts'
import { isOwnOrigin } from './origin.ts'
import { defaultServer, type UsherServer } from './usher-server.ts'

export type UpgradeOptions = {
  /** What the person must be allowed, now and as long as the socket is open. */
  require?: Requirement
  /** The document that a sync token has to be for. Without it, sync tokens are refused. */
  room?: string
  /** Exact origins of the application's pages; without it the host that the request was sent to. */
  origins?: readonly string[]
  server?: UsherServer
}

/** Somebody at the other end of a socket. */
export type Authenticated = {
  readonly actor: Actor
  /** What a sync token grants; undefined for everybody else. */
  readonly access: 'read' | 'write' | undefined
  /** Milliseconds since 1970: then the socket closes with 4001, unless it is renewed. */
  readonly expiresAt: number
  /** Aborted when the socket is cut. */
  readonly signal: AbortSignal
  /** Asks about this very moment. */
  has(required: Requirement): boolean
  onRevoked(listener: (reason: EndReason) => void): () => void
  onChanged(listener: (actor: Actor) => void): () => void
  /** 15 s before the end: time to ask the page for a new token. */
  onExpiring(listener: (inMs: number) => void): () => void
  /** A new token of the same session and organization. @returns false if it is no good */
  renew(token: string): Promise<boolean>
}

/** A request as an `UPGRADE` handler gets it. */
export type UpgradeRequest = { url: string; headers: Headers }

const refusalDelayMs = 250
const goodbyeMs = 300
const pingMs = 25_000

/**
 * Decides who opened a socket, inside a next-ws `UPGRADE` handler. Call it first and without an `await` before it: the
 * socket is paused at once, because frames that arrive before somebody listens are lost.
 *
 * The credential is a `bearer.<base64url>` subprotocol beside `usher.v1`, `?token=` (a session token, or with `room` a
 * sync token), or `?ticket=` of `createTicketRoute`. Cookies never count here. Whoever sends an `Origin` must be a page of
 * the application; without one (programs, not browsers) only a token is taken.
 *
 * From then on the socket is cut by itself: 4001 when the token ends, 4401 with the session, 4403 with the membership or
 * what `require` names, within a second. Nothing is handed to the application after the cut.
 *
 * @returns null when it was refused: the socket is being closed then, and the handler returns
 */
export async function authenticateUpgrade(
  client: WebSocket,
  request: UpgradeRequest,
  { require, room, origins, server = defaultServer() }: UpgradeOptions = {},
): Promise<Authenticated | null> {
  client.pause()
  try {
    const credential = credentialOf(request)
    refuseOtherOrigins(request.headers, credential, origins)
    const auth = await enter(server, credential, {
      require,
      room,
      origin: request.headers.get('origin') ?? undefined,
    })
    if (client.readyState !== client.OPEN) {
      auth.end('closed')
      return null
    }
    attach(client, auth)
    keepAlive(client)
    client.resume()
    return present(server, auth, room)
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(4503, 'Nobody can be verified at the moment.')
    if (!(error instanceof Refusal)) console.error('@usher/nextjs could not verify a socket:', error)
    await refuse(client, refusal)
    return null
  }
}

/** Cuts the socket when its actor ends, and forgets the actor when the socket goes. */
export function attach(client: WebSocket, auth: LiveAuth, { lingerMs = 0 } = {}): void {
  auth.onEnd((reason) => {
    if (client.readyState > client.OPEN) return
    setTimeout(() => cut(client, closeCodeOf[reason], reason), lingerMs)
  })
  client.once('close', () => auth.end('closed'))
}

/** Proxies cut what is silent, and a peer that vanished says nothing about it: both are found out by asking. */
function keepAlive(client: WebSocket): void {
  let isAlive = true
  client.on('pong', () => {
    isAlive = true
  })
  const timer = setInterval(() => {
    if (!isAlive) return client.terminate()
    isAlive = false
    client.ping()
  }, pingMs)
  timer.unref?.()
  client.once('close', () => clearInterval(timer))
}

/** Closes a socket whose frames nobody shall see any more. */
export function cut(client: WebSocket, code: number, reason: string): void {
  client.removeAllListeners('message')
  client.close(code, reason)
  setTimeout(() => client.terminate(), goodbyeMs).unref?.()
}

/** Waits a little, so that guessing is slow, and closes without ever having read a frame. */
export async function refuse(client: WebSocket, { code, message }: Refusal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, refusalDelayMs * (0.5 + Math.random())))
  cut(client, code, message)
}

export function credentialOf({ url, headers }: UpgradeRequest): Credential | undefined {
  const offered = (headers.get('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim())
  const bearer = offered.find((name) => name.startsWith('bearer.'))
  if (bearer) return { token: Buffer.from(bearer.slice('bearer.'.length), 'base64url').toString() }
  const { searchParams } = new URL(url, 'http://localhost')
  const token = searchParams.get('token')
  if (token) return { token }
  const ticket = searchParams.get('ticket')
  return ticket ? { ticket } : undefined
}

/** @throws {Refusal} 4403 */
export function refuseOtherOrigins(
  headers: Headers,
  credential: Credential | undefined,
  origins: readonly string[] | undefined,
): void {
  // Programs have no origin; they cannot have been talked into asking by a page either, if they bring a token.
  if (!headers.has('origin') && credential && 'token' in credential) return
  if (!isOwnOrigin(headers, origins)) throw new Refusal(4403, 'This origin may not connect.')
}

export function present(server: UsherServer, auth: LiveAuth, room?: string): Authenticated {
  return {
    get actor() {
      return auth.actor
    },
    get expiresAt() {
      return auth.expiresAt
    },
    access: auth.document?.access,
    signal: auth.signal,
    has: (required) => auth.has(required),
    onRevoked: (listener) => auth.onEnd((reason) => reason !== 'closed' && listener(reason)),
    onChanged: (listener) => auth.onChanged(listener),
    onExpiring: (listener) => auth.onExpiring(listener),
    renew: (token) => renew(server, auth, token, room),
  }
}
