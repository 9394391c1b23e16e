import type { CloseReason } from './close-codes.ts'
import type { Bucket, SyncLimits } from './limits.ts'
import type { Room } from './room.ts'
import type { RoomKindName } from './store.ts'

/** What a connection needs of a WebSocket; Bun's server socket is one. */
export type Socket = {
  readonly readyState: number
  send(data: Uint8Array | string): number
  close(code: number, reason: string): void
  terminate(): void
  subscribe(topic: string): void
  unsubscribe(topic: string): void
  publish(topic: string, bytes: Uint8Array): number
  cork<T>(callback: () => T): T
  getBufferedAmount(): number
  pause(): void
  resume(): void
}

export type Access = 'read' | 'write'

/** What a client asked to speak. Without a name it is a stock client, which understands binary frames alone. */
export type Subprotocol = '' | 'usher.v1' | 'usher.encrypted.v1'

/** Who is connected, shared by all connections that came with one token. */
export type Principal = {
  instanceId: string
  /** Holders of a shared token and anonymous principals have no user. `external`: another issuer says who it is. */
  kind: 'anonymous' | 'static' | 'session' | 'backend' | 'external'
  userId: string | undefined
  sessionId: string | undefined
  organizationId: string | undefined
  /** What the person could do in the organization when this was granted; of an issuer: what was said of it then. */
  permissionVersion: string | undefined
}

/**
 * One socket. `opening`: upgraded, its room is being loaded, what it says waits. `live`: it takes part. `closing`: it
 * is told why and gone; nothing that it says counts any more, and nothing is sent to it but the reason.
 */
export type ConnectionState = 'opening' | 'live' | 'closing'

/**
 * A plain object with numbers, not closures, timers and objects of its own: ten thousand idle ones must fit in a few
 * megabytes.
 */
export class Connection {
  state: ConnectionState = 'opening'
  socket: Socket | undefined = undefined
  room: Room | undefined = undefined
  /** What it may do now. */
  access: Access
  /** What its token allowed. */
  granted: Access
  principal: Principal
  /** Milliseconds of the monotonic clock at which it is cut, its token having ended; infinite: never. */
  endsAt = Number.POSITIVE_INFINITY
  /** When a named client is told of that; infinite: never, or it has been. */
  announceAt = Number.POSITIVE_INFINITY
  key: string
  readonly openedAt: number

  /** Frames that wait for the room or for the rate limit, oldest first. */
  queue: Uint8Array[] | undefined = undefined
  queuedBytes = 0
  paused = false
  heard = false

  /** Milliseconds (monotonic) before which nothing more is taken from it. */
  resumeAt = 0
  /** Its first SyncStep2 may be as large as a document and does not count as a rate. */
  spentFirstStep2 = false

  /** How far in the room's log this connection has been served; -1: it has not asked yet. */
  position = -1
  /** Receives what is published. Before that, it is still being served from the log. */
  subscribed = false
  /** A state is on its way (a diff is being made, or the socket has not taken it yet). */
  serving = false
  /** Whether the SyncStep2 that ends the state has been sent. */
  stepped = false
  /** What must not overtake the state that is on its way, because the socket would be closed for holding too much. */
  deferred: Uint8Array[] | undefined = undefined
  laggingSince = 0
  /** Of the room's presence, as it was when this connection was told of it last. */
  presenceVersion = 0

  uncommittedFrames = 0
  uncommittedBytes = 0
  gapAskedAt = 0

  /** How many messages and bytes it may send at once, as of `takenAt`; below zero it is in debt. */
  private messages: number
  private bytes: number
  private takenAt: number
  presence: Bucket | undefined = undefined
  subprotocol: Subprotocol = ''
  /** Address of the peer. */
  ip = ''
  /** The `Host` that it asked for: it names the instance. Of named clients, who may show another token. */
  host = ''
  /** Of the page that opened it; undefined: no browser. Like `host`. */
  origin: string | undefined = undefined
  /** A new token is being looked at. */
  isRenewing = false
  /** How many changes of rights there had been when it was judged. */
  judgedAt = 0
  /** Why it is being closed, for the log. */
  closeReason: CloseReason | undefined = undefined

  constructor(
    principal: Principal,
    key: string,
    { access, granted }: { access: Access; granted: Access },
    limits: SyncLimits,
    now: number,
  ) {
    this.principal = principal
    this.key = key
    this.access = access
    this.granted = granted
    this.openedAt = now
    this.messages = limits.messagesBurst
    this.bytes = limits.bytesBurst
    this.takenAt = now
  }

  /**
   * Counts a message, as two token buckets would. They may go into debt: what has been received cannot be given back.
   *
   * @param now milliseconds of the monotonic clock
   * @returns milliseconds until neither is in debt, 0 if neither is
   */
  take(bytes: number, limits: SyncLimits, now: number): number {
    const { messagesPerSecond, messagesBurst, bytesPerSecond, bytesBurst } = limits
    const seconds = (now - this.takenAt) / 1000
    this.takenAt = now
    this.messages = Math.min(messagesBurst, this.messages + seconds * messagesPerSecond) - 1
    this.bytes = Math.min(bytesBurst, this.bytes + seconds * bytesPerSecond) - bytes
    return Math.max(0, (-this.messages * 1000) / messagesPerSecond, (-this.bytes * 1000) / bytesPerSecond)
  }

  /**
   * Holds what another connection of the same person holds as well once instead of twice: most people have several
   * documents and tabs open, all under one session.
   */
  shareWith(other: Connection): void {
    if (isEqual(this.principal, other.principal)) this.principal = other.principal
    if (this.ip === other.ip) this.ip = other.ip
    if (this.host === other.host) this.host = other.host
    if (this.origin === other.origin) this.origin = other.origin
  }

  /** Which kind of room it can be in. */
  get kind(): RoomKindName {
    return this.subprotocol === 'usher.encrypted.v1' ? 'e2ee' : 'yjs'
  }

  /** Sends a control frame. Never to a stock client: it would take it for a broken update. */
  sendText(frame: { t: string; [key: string]: unknown }): void {
    if (this.subprotocol !== '' && this.state !== 'closing') this.socket?.send(JSON.stringify(frame))
  }
}

function isEqual(a: Principal, b: Principal): boolean {
  return (
    a.instanceId === b.instanceId &&
    a.kind === b.kind &&
    a.userId === b.userId &&
    a.sessionId === b.sessionId &&
    a.organizationId === b.organizationId &&
    a.permissionVersion === b.permissionVersion
  )
}
