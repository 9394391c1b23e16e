import type { ServerWebSocket, WebSocketHandler } from 'bun'

/** What it needs of a socket; Bun's server socket is one. */
export type LiveSocket = { ping(): unknown; terminate(): void; data: unknown }

const tickMs = 5000
/** Ticks of silence after which a peer is asked whether it is there, and after which it is not. */
const pingAfter = [5, 8]
const goneAfter = 11

/**
 * Ends sockets whose peer has vanished without a goodbye, 55 to 60 s after it was last heard. The server's own idle
 * timeout does not: it begins anew with everything that is sent, and to a vanished peer much is sent.
 */
export class Liveness<Socket extends LiveSocket> {
  private readonly heardAt = new Map<Socket, number>()
  private now = 0

  constructor() {
    setInterval(() => this.tick(), tickMs).unref()
  }

  /** The socket has opened, or something came from it: a message or the answer to a ping. */
  heard(socket: Socket): void {
    this.heardAt.set(socket, this.now)
  }

  closed(socket: Socket): void {
    this.heardAt.delete(socket)
  }

  tick(): void {
    this.now++
    for (const [socket, at] of this.heardAt) {
      // What we do not read from cannot be heard.
      if ((socket.data as { paused?: boolean } | undefined)?.paused) {
        this.heardAt.set(socket, this.now)
        continue
      }
      const silence = this.now - at
      if (silence >= goneAfter) socket.terminate()
      else if (pingAfter.includes(silence)) socket.ping()
    }
  }
}

/** The same handlers, and peers that have vanished are ended. */
export function watchPeers<Data>(handlers: WebSocketHandler<Data>): WebSocketHandler<Data> {
  const liveness = new Liveness<ServerWebSocket<Data>>()
  return {
    ...handlers,
    open: (socket) => {
      liveness.heard(socket)
      return handlers.open?.(socket)
    },
    message: (socket, message) => {
      liveness.heard(socket)
      return handlers.message?.(socket, message)
    },
    pong: (socket) => liveness.heard(socket),
    close: (socket, code, reason) => {
      liveness.closed(socket)
      return handlers.close?.(socket, code, reason)
    },
  }
}
