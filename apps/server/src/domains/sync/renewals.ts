import type { Connection } from './connection.ts'

/** How long before its end a token is said to end, and by how much that is spread. */
const announceMs = 30_000
const jitterMs = 10_000
/** A client that was told gets so much more time: its answer may be under way. */
const graceMs = 5000

type Callbacks = {
  /** The token ends in `inMs`: a named client gets a new one and sends it. */
  announce: (connection: Connection, inMs: number) => void
  /** It has ended. */
  end: (connection: Connection) => void
}

/** When the tokens of live connections end. One timer and two numbers of each, whatever the number of sockets. */
export class Renewals {
  private readonly timer: ReturnType<typeof setInterval>
  private readonly connections: Iterable<Connection>
  private readonly callbacks: Callbacks

  /** @param connections all that are open */
  constructor(connections: Iterable<Connection>, callbacks: Callbacks) {
    this.connections = connections
    this.callbacks = callbacks
    this.timer = setInterval(() => this.advance(performance.now()), 1000)
    this.timer.unref()
  }

  /**
   * Watches a connection that was opened or got a new token; what was planned for the token before no longer counts.
   * The wall clock is read once: its leaps move nothing later.
   *
   * @param expiresAt seconds since 1970; undefined: the credential does not end
   */
  watch(connection: Connection, expiresAt: number | undefined): void {
    connection.endsAt = Number.POSITIVE_INFINITY
    connection.announceAt = Number.POSITIVE_INFINITY
    if (expiresAt === undefined) return
    const left = expiresAt * 1000 - Date.now()
    const end = performance.now() + left
    const isNamed = connection.subprotocol !== ''
    connection.endsAt = end + (isNamed ? graceMs : 0)
    // A token of a few seconds is announced halfway: there is no half a minute before its end.
    if (isNamed) connection.announceAt = end - Math.min(announceMs + (Math.random() * 2 - 1) * jitterMs, left / 2)
  }

  private advance(now: number) {
    for (const connection of this.connections) {
      if (connection.endsAt <= now) this.callbacks.end(connection)
      else if (connection.announceAt <= now) {
        connection.announceAt = Number.POSITIVE_INFINITY
        this.callbacks.announce(connection, Math.max(0, Math.round(connection.endsAt - graceMs - now)))
      }
    }
  }

  stop(): void {
    clearInterval(this.timer)
  }
}
