/** What the server hands out for one connection. */
export type Grant = { url: string; token: string; doc_id: string; access: 'read' | 'write' }

/**
 * A WebSocket for the `WebSocketPolyfill` option of `y-websocket` that asks for a fresh token before it connects, so
 * that the unmodified client reconnects with short-lived tokens.
 */
export function tokenSocket(getGrant: () => Promise<Grant>): typeof WebSocket {
  return class {
    static readonly OPEN = WebSocket.OPEN
    static readonly CONNECTING = WebSocket.CONNECTING
    // y-websocket compares `readyState` with the constants of the socket itself before it sends.
    readonly OPEN = WebSocket.OPEN
    readonly CONNECTING = WebSocket.CONNECTING
    onopen: ((event: Event) => void) | null = null
    onmessage: ((event: MessageEvent) => void) | null = null
    onerror: ((event: Event) => void) | null = null
    onclose: ((event: CloseEvent) => void) | null = null
    binaryType: BinaryType = 'arraybuffer'
    private socket: WebSocket | undefined
    private given = false

    constructor() {
      getGrant().then(
        (grant) => this.open(grant),
        (error) => this.refuse(error),
      )
    }

    get readyState(): number {
      return this.given ? WebSocket.CLOSED : (this.socket?.readyState ?? WebSocket.CONNECTING)
    }

    send(data: Uint8Array<ArrayBuffer>): void {
      this.socket?.send(data)
    }

    close(): void {
      this.given = true
      this.socket?.close()
    }

    private open({ url, token, doc_id }: Grant): void {
      if (this.given) return
      const socket = new WebSocket(`${url}/${doc_id}?token=${encodeURIComponent(token)}`)
      socket.binaryType = this.binaryType
      socket.onopen = (event) => this.onopen?.(event)
      socket.onmessage = (event) => this.onmessage?.(event)
      socket.onerror = (event) => this.onerror?.(event)
      socket.onclose = (event) => this.onclose?.(event)
      this.socket = socket
    }

    private refuse(error: { status?: number }): void {
      if (this.given) return
      this.given = true
      // 44xx tells y-websocket to stop; anything else is tried again.
      const code = error.status === 401 ? 4401 : error.status === 403 || error.status === 404 ? 4403 : 1006
      this.onclose?.(new CloseEvent('close', { code }))
    }
  } as unknown as typeof WebSocket
}
