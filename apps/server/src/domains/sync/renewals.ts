import type { Connection } from './connection.ts'
import { TimerWheel } from './timer-wheel.ts'

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

/** When the tokens of live connections end. Two wheels, whatever the number of sockets. */
export class Renewals {
  private readonly announcements = new TimerWheel<Connection>(performance.now() / 1000)
  private readonly ends = new TimerWheel<Connection>(performance.now() / 1000)
  private readonly timer: ReturnType<typeof setInterval>
  private readonly callbacks: Callbacks

  constructor(callbacks: Callbacks) {
    this.callbacks = callbacks
    this.timer = setInterval(() => this.advance(), 1000)
    this.timer.unref()
  }

  /**
   * Watches a connection that was opened or got a new token; what was planned for the token before no longer counts.
   * The wall clock is read once: its leaps move nothing later.
   *
   * @param expiresAt seconds since 1970; undefined: the credential does not end
   */
  watch(connection: Connection, expiresAt: number | undefined): void {
    const now = performance.now()
    if (expiresAt === undefined) {
      connection.endsAt = undefined
      return
    }
    const left = expiresAt * 1000 - Date.now()
    connection.endsAt = now + left + (connection.subprotocol === '' ? 0 : graceMs)
    this.ends.add(connection, connection.endsAt / 1000)
    if (connection.subprotocol === '') return
    // A token of a few seconds is announced halfway: there is no half a minute before its end.
    const lead = Math.min(announceMs + (Math.random() * 2 - 1) * jitterMs, left / 2)
    this.announcements.add(connection, (now + left - lead) / 1000)
  }

  private advance() {
    const now = performance.now()
    for (const connection of this.announcements.advance(now / 1000)) {
      if (connection.endsAt === undefined || connection.state === 'closing') continue
      const left = connection.endsAt - graceMs - now
      // Of a token that was replaced meanwhile: the new one has an announcement of its own.
      if (left > announceMs + jitterMs) continue
      this.callbacks.announce(connection, Math.max(0, Math.round(left)))
    }
    for (const connection of this.ends.advance(now / 1000)) {
      const { endsAt, state } = connection
      if (endsAt !== undefined && endsAt <= now && state !== 'closing') this.callbacks.end(connection)
    }
  }

  stop(): void {
    clearInterval(this.timer)
  }
}
