import { askForToken, bearerProtocol, deniedCode, type GetToken } from './token.ts'

/** The part of a WebSocket that this package uses. The `ws` package has it, too. */
export type WebSocketLike = {
  readonly readyState: number
  readonly protocol?: string
  readonly bufferedAmount?: number
  binaryType: string
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  send(data: string | Uint8Array<ArrayBuffer>): void
  close(code?: number, reason?: string): void
}
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike

type Options = {
  getToken: GetToken
  /** Undefined: that of the environment. Node 20 has none; its `ws` package has. */
  WebSocket?: WebSocketConstructor
}

type Handler = ((event: unknown) => void) | null

/**
 * A class for the `WebSocketPolyfill` option of the unmodified `y-websocket` client. Each connection asks `getToken`
 * first, so that tokens can be short-lived; while it is open, the token is renewed in place when the server says that it
 * is about to expire.
 *
 * The token travels as a subprotocol and is in no address. When `getToken` throws `AccessDenied` (or anything with
 * `status` 401 or 403), no socket is opened and the client is told 4401 or 4403: `y-websocket` 3.1 and later stop.
 */
export function tokenWebSocket({ getToken, WebSocket: Socket }: Options): typeof WebSocket {
  class TokenWebSocket {
    static readonly CONNECTING = 0
    static readonly OPEN = 1
    static readonly CLOSING = 2
    static readonly CLOSED = 3
    readonly CONNECTING = 0
    readonly OPEN = 1
    readonly CLOSING = 2
    readonly CLOSED = 3

    onopen: Handler = null
    onmessage: Handler = null
    onerror: Handler = null
    onclose: Handler = null
    binaryType = 'arraybuffer'
    private socket: WebSocketLike | undefined
    private ended = false
    private readonly docId: string

    constructor(url: string | URL) {
      const address = new URL(url)
      this.docId = docIdOf(address)
      askForToken(getToken, this.docId).then(
        (grant) => this.open(grant.url === undefined ? address : addressOf(grant.url, this.docId), grant.token),
        (error: unknown) => this.end(deniedCode(error) ?? 1006, error instanceof Error ? error.message : ''),
      )
    }

    get readyState(): number {
      return this.ended ? 3 : (this.socket?.readyState ?? 0)
    }

    get bufferedAmount(): number {
      return this.socket?.bufferedAmount ?? 0
    }

    send(data: Uint8Array<ArrayBuffer>): void {
      this.socket?.send(data)
    }

    close(code?: number, reason?: string): void {
      this.ended = true
      this.socket?.close(code, reason)
    }

    private open(address: URL, token: string): void {
      if (this.ended) return // given up while the token was under way
      const socket = new (webSocketOf(Socket))(address.href, ['usher.v1', bearerProtocol(token)])
      socket.binaryType = 'arraybuffer'
      socket.onopen = (event) => this.onopen?.(event)
      socket.onmessage = (event: { data: unknown }) => {
        if (typeof event.data === 'string') this.control(event.data)
        else this.onmessage?.(event)
      }
      socket.onerror = (event) => this.onerror?.(event)
      socket.onclose = (event) => this.onclose?.(event)
      this.socket = socket
    }

    /** What the server says in text is not for the client above: it would not understand it. */
    private control(text: string): void {
      if (!isExpiring(text)) return
      askForToken(getToken, this.docId).then(
        ({ token }) => this.socket?.send(JSON.stringify({ t: 'auth', token })),
        // The socket stays until the token has expired; the next one asks again, and hears why there is none.
        () => {},
      )
    }

    private end(code: number, reason: string): void {
      if (this.ended) return
      this.ended = true
      this.onclose?.({ type: 'close', code, reason, wasClean: code !== 1006 })
    }
  }
  return TokenWebSocket as unknown as typeof WebSocket
}

function isExpiring(text: string): boolean {
  try {
    return (JSON.parse(text) as { t?: unknown }).t === 'expiring'
  } catch {
    return false
  }
}

/** The class to open sockets with. */
export function webSocketOf(given: WebSocketConstructor | undefined): WebSocketConstructor {
  const found = given ?? (globalThis.WebSocket as unknown as WebSocketConstructor | undefined)
  if (!found) throw new Error('There is no WebSocket here: pass one, e.g. that of the package ws.')
  return found
}

/** `ws://host/sync/DOC?…` → DOC. */
export function docIdOf({ pathname }: URL): string {
  const at = pathname.indexOf('/sync/')
  return decodeURIComponent(pathname.slice(at < 0 ? 1 : at + '/sync/'.length))
}

/** The address of a document. An id keeps its slashes. */
export function addressOf(url: string, docId: string): URL {
  return new URL(
    `${url.replace(/\/+$/, '').replace(/^http/, 'ws')}/${docId.split('/').map(encodeURIComponent).join('/')}`,
  )
}
