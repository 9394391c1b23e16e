import { countSyncFrames } from '../../kernel/metrics.ts'
import type { Connection } from './connection.ts'

/** How long a frame of a very busy room waits for others, so that they reach a socket in one write. */
const holdMs = 5
/** Frames a node hands to sockets in a second from which on writes are what its processor is busy with. */
const busyNode = 150_000
/** Frames of one room in a second; below this there would be nothing to wait for. */
const busyRoom = 200
/** More than this go to a socket in several writes anyway. */
const framesAtMost = 32
const windowMs = 100

/** How many in a second, of late. */
class Pace {
  perSecond = 0
  private count = 0
  private since = 0

  add(n: number, now: number): void {
    if (now - this.since >= windowMs) {
      this.perSecond = (this.count * 1000) / (now - this.since)
      this.count = 0
      this.since = now
    }
    this.count += n
  }
}

type Room = { readonly topic: string; readonly connections: ReadonlySet<Connection> }

/** The outboxes of a node's rooms: they share a timer, and the knowledge of how busy the node is. */
export class Outboxes {
  readonly deliveries = new Pace()
  readonly publish: (topic: string, frame: Uint8Array) => void
  private readonly held = new Set<Outbox>()
  private timer: ReturnType<typeof setTimeout> | undefined

  /** @param publish hands a frame to everybody on a topic */
  constructor(publish: (topic: string, frame: Uint8Array) => void) {
    this.publish = publish
  }

  hold(outbox: Outbox): void {
    this.held.add(outbox)
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      for (const one of this.held) one.flush()
      this.held.clear()
    }, holdMs)
  }

  stop(): void {
    clearTimeout(this.timer)
  }
}

/**
 * What a room gives to its sockets, in order. Each frame goes out at once; but where a node is busy with writes, and a
 * room has several frames in a few milliseconds, they are held that long and leave together: still one message each (a
 * stock client reads no more of one), in one write for each socket.
 */
export class Outbox {
  private readonly room: Room
  private readonly node: Outboxes
  private readonly frames = new Pace()
  private held: { author: Connection | undefined; frame: Uint8Array }[] = []

  constructor(room: Room, node: Outboxes) {
    this.room = room
    this.node = node
  }

  /** @param author gets everything but its own frames; undefined: everybody gets it */
  send(author: Connection | undefined, frame: Uint8Array, now: number) {
    this.frames.add(1, now)
    this.node.deliveries.add(this.room.connections.size, now)
    const isBusy = this.frames.perSecond >= busyRoom && this.node.deliveries.perSecond >= busyNode
    if (!isBusy && this.held.length === 0) return this.publish(author, frame)
    this.held.push({ author, frame })
    if (!isBusy || this.held.length >= framesAtMost) this.flush()
    else if (this.held.length === 1) this.node.hold(this)
  }

  /** Nothing waits any longer: needed before a socket joins, which has been given all there is by another way. */
  flush(): void {
    if (this.held.length === 0) return
    const { held } = this
    this.held = []
    for (const { author, frame } of held) this.publish(author, frame)
  }

  private publish(author: Connection | undefined, frame: Uint8Array) {
    // A socket that closed meanwhile publishes nothing.
    if (author?.state !== 'live' || author.socket?.readyState !== WebSocket.OPEN)
      return this.node.publish(this.room.topic, frame)
    countSyncFrames('out', this.room.connections.size - 1, frame.length)
    author.socket.publish(this.room.topic, frame)
  }
}
