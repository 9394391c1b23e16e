/** What the app's server hands out for one connection. `url` is the server's; the document's id comes behind it. */
export type Grant = { url: string; token: string; access: 'read' | 'write' }

/** The app's server refused a token. 4400–4499 tell y-websocket not to try again. */
export class Refused extends Error {
  constructor(
    readonly closeCode: 4401 | 4403,
    reason: string,
  ) {
    super(reason)
  }
}

/**
 * A WebSocket for y-websocket's `WebSocketPolyfill` option that asks for a fresh address and token before every
 * connection, so that a token can be short-lived and a change of role is in force from the next connection on.
 *
 * @param getGrant throws `Refused` when there is none to be had; any other error is retried with y-websocket's backoff
 */
export function tokenWebSocket(documentId: string, getGrant: () => Promise<Grant>): typeof WebSocket {
  class TokenWebSocket {
    static readonly CONNECTING = WebSocket.CONNECTING
    static readonly OPEN = WebSocket.OPEN
    static readonly CLOSING = WebSocket.CLOSING
    static readonly CLOSED = WebSocket.CLOSED
    readonly CONNECTING = WebSocket.CONNECTING
    readonly OPEN = WebSocket.OPEN
    readonly CLOSING = WebSocket.CLOSING
    readonly CLOSED = WebSocket.CLOSED

    onopen: ((event: Event) => void) | null = null
    onmessage: ((event: MessageEvent) => void) | null = null
    onerror: ((event: Event) => void) | null = null
    onclose: ((event: CloseEvent) => void) | null = null
    binaryType: BinaryType = 'arraybuffer'
    #socket: WebSocket | undefined
    #closed = false

    constructor() {
      getGrant().then(
        (grant) => this.#open(grant),
        (error: unknown) => this.#fail(error),
      )
    }

    get readyState(): number {
      return this.#closed ? WebSocket.CLOSED : (this.#socket?.readyState ?? WebSocket.CONNECTING)
    }

    send(data: Uint8Array<ArrayBuffer>): void {
      this.#socket?.send(data)
    }

    close(code?: number, reason?: string): void {
      this.#closed = true
      this.#socket?.close(code, reason)
    }

    #open({ url, token }: Grant): void {
      if (this.#closed) return // given up while the token was under way
      const address = new URL(`${url}/${documentId}`)
      address.searchParams.set('token', token)
      const socket = new WebSocket(address)
      socket.binaryType = this.binaryType
      socket.onopen = (event) => this.onopen?.(event)
      socket.onmessage = (event) => this.onmessage?.(event)
      socket.onerror = (event) => this.onerror?.(event)
      socket.onclose = (event) => this.onclose?.(event)
      this.#socket = socket
    }

    #fail(error: unknown): void {
      if (this.#closed) return
      this.#closed = true
      const [code, reason] = error instanceof Refused ? [error.closeCode, error.message] : [1006, '']
      this.onclose?.(new CloseEvent('close', { code, reason }))
    }
  }
  return TokenWebSocket as unknown as typeof WebSocket
}
