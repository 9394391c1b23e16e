import type { Log } from '../../kernel/log.ts'
import { type CloseReason, closeCodes } from './close-codes.ts'
import type { Connection, Principal, Socket } from './connection.ts'
import type { SyncLimits } from './limits.ts'
import { unsubscribe } from './serve-state.ts'
import { MalformedUpdate } from './walk-update.ts'

/** What the rooms make of connections. */
type Rooms = {
  /** A connection is taken in: find its room. */
  enter: (connection: Connection) => void
  costOf: (connection: Connection, frame: Uint8Array) => number
  /** A frame of a live connection. */
  receive: (connection: Connection, frame: Uint8Array) => void
  /** A connection is gone. */
  leave: (connection: Connection) => void
}

const laggingBytes = 256 * 1024
const laggingMs = 30_000
/** Asking a socket how much it holds takes half a microsecond: each is asked once in so many seconds. */
const askEvery = 5

/** All connections of this node: who they are, how fast they may talk, whether they read. It knows nothing of documents. */
export class Hub {
  /** A text frame of a connection that has a named subprotocol; nobody else may send one. */
  onText: ((connection: Connection, text: string) => void) | undefined

  readonly all = new Set<Connection>()
  private readonly bySession = new Map<string, Set<Connection>>()
  private readonly byUser = new Map<string, Set<Connection>>()
  private readonly byOrganization = new Map<string, Set<Connection>>()
  private readonly paused = new Set<Connection>()
  private resumeTimer: ReturnType<typeof setTimeout> | undefined

  private readonly limits: SyncLimits
  private readonly log: Log
  private readonly rooms: Rooms

  constructor(limits: SyncLimits, log: Log, rooms: Rooms) {
    this.limits = limits
    this.log = log
    this.rooms = rooms
  }

  /** Takes in an upgraded socket. Its room is loaded, its frames wait until then. */
  attach(connection: Connection, socket: Socket) {
    connection.socket = socket
    if (connection.state === 'closing') return
    const { userId, organizationId } = connection.principal
    if (userId && (this.byUser.get(userId)?.size ?? 0) >= this.limits.connectionsPerUser)
      return this.close(connection, 'rate_limited', 'too many connections of this user')
    if (
      organizationId &&
      (this.byOrganization.get(organizationId)?.size ?? 0) >= this.limits.connectionsPerOrganization
    )
      return this.close(connection, 'rate_limited', 'too many connections of this organization')
    this.all.add(connection)
    this.shareWithNeighbour(connection)
    this.index(connection)
    this.rooms.enter(connection)
  }

  private shareWithNeighbour(connection: Connection) {
    const { userId } = connection.principal
    const [neighbour] = (userId && this.byUser.get(userId)) || []
    if (neighbour) connection.shareWith(neighbour)
  }

  private index(connection: Connection) {
    for (const [index, id] of this.indexesOf(connection)) {
      const set = index.get(id)
      if (set) set.add(connection)
      else index.set(id, new Set([connection]))
    }
  }

  private unindex(connection: Connection) {
    for (const [index, id] of this.indexesOf(connection)) {
      const set = index.get(id)
      set?.delete(connection)
      if (set?.size === 0) index.delete(id)
    }
  }

  /** A connection rests on another credential of the same person: it ends with that one's session now. */
  setPrincipal(connection: Connection, principal: Principal) {
    if (!this.all.has(connection)) return
    this.unindex(connection)
    connection.principal = principal
    this.index(connection)
  }

  private indexesOf({ principal: { sessionId, userId, organizationId } }: Connection) {
    const pairs: [Map<string, Set<Connection>>, string][] = []
    if (sessionId) pairs.push([this.bySession, sessionId])
    if (userId) pairs.push([this.byUser, userId])
    if (organizationId) pairs.push([this.byOrganization, organizationId])
    return pairs
  }

  /** The socket is gone, or was cut. */
  detach(connection: Connection) {
    connection.state = 'closing'
    if (!this.all.delete(connection)) return
    this.unindex(connection)
    this.paused.delete(connection)
    connection.queue = undefined
    connection.deferred = undefined
    this.rooms.leave(connection)
  }

  /** Cuts a connection: first it stops receiving, then it is told why. */
  close(connection: Connection, reason: CloseReason, message: string) {
    if (connection.state === 'closing') return
    unsubscribe(connection)
    connection.closeReason = reason
    this.detach(connection)
    // Longer reasons would be cut by the server without a word.
    connection.socket?.close(closeCodes[reason].code, Buffer.from(message).subarray(0, 123).toString())
    this.log.debug({ reason, principal: connection.principal.kind }, 'a socket was closed')
  }

  /** Live connections that a change of these ids may concern; of the whole instance when `everyone`. */
  connectionsOf(instanceId: string, ids: Iterable<string> | 'everyone'): Set<Connection> {
    const found = new Set<Connection>()
    if (ids === 'everyone') {
      for (const connection of this.all) if (connection.principal.instanceId === instanceId) found.add(connection)
      return found
    }
    for (const id of ids) {
      for (const index of [this.bySession, this.byUser, this.byOrganization]) {
        for (const connection of index.get(id) ?? [])
          if (connection.principal.instanceId === instanceId) found.add(connection)
      }
    }
    return found
  }

  /** A frame of a client. Synchronous: frames of one socket are handled in their order. */
  receive(connection: Connection, frame: Uint8Array | string) {
    if (connection.state === 'closing') return
    if (typeof frame === 'string') return this.receiveText(connection, frame)
    if (connection.state === 'opening' || connection.paused || connection.queue?.length)
      return this.enqueue(connection, frame)
    this.handle(connection, frame)
  }

  private receiveText(connection: Connection, text: string) {
    if (connection.subprotocol === '' || !this.onText)
      return this.close(connection, 'malformed', 'only binary frames are understood')
    this.onText(connection, text)
  }

  private enqueue(connection: Connection, frame: Uint8Array) {
    connection.queue ??= []
    connection.queue.push(frame)
    connection.queuedBytes += frame.length
    const { queuedFrames, queuedBytes, backlogFrames, bytesBurst, documentBytes } = this.limits
    if (connection.state === 'opening') {
      if (connection.queue.length >= queuedFrames || connection.queuedBytes >= queuedBytes) this.pause(connection, 0)
    }
    if (connection.queue.length > backlogFrames || connection.queuedBytes > bytesBurst + documentBytes)
      this.close(connection, 'rate_limited', JSON.stringify({ retryAfterMs: 5000 }))
  }

  private pause(connection: Connection, waitMs: number) {
    connection.resumeAt = Math.max(connection.resumeAt, performance.now() + waitMs)
    if (connection.paused) return
    connection.paused = true
    connection.socket?.pause()
    this.paused.add(connection)
    this.scheduleResume()
  }

  private scheduleResume() {
    this.resumeTimer ??= setTimeout(() => {
      this.resumeTimer = undefined
      for (const connection of [...this.paused]) this.resume(connection)
      if (this.paused.size > 0) this.scheduleResume()
    }, 20)
  }

  /** Takes up what waits, as far as rates and commits allow. */
  resume(connection: Connection) {
    if (connection.state !== 'live') return
    if (this.mustWait(connection)) return
    connection.paused = false
    const queue = connection.queue ?? []
    let next = 0
    while (next < queue.length && !connection.paused && (connection.state as string) === 'live') {
      const frame = queue[next++] as Uint8Array
      connection.queuedBytes -= frame.length
      this.handle(connection, frame)
    }
    if ((connection.state as string) !== 'live') return
    connection.queue = next < queue.length ? queue.slice(next) : undefined
    if (connection.paused) return
    this.paused.delete(connection)
    connection.socket?.resume()
  }

  /** Something of theirs became durable: connections of a room that waited for it go on. */
  resumeRoom(room: Connection['room']) {
    for (const connection of this.paused) if (connection.room === room) this.resume(connection)
  }

  private mustWait(connection: Connection): boolean {
    const { uncommittedFrames, uncommittedBytes } = this.limits
    return (
      performance.now() < connection.resumeAt ||
      connection.uncommittedFrames > uncommittedFrames / 2 ||
      connection.uncommittedBytes > uncommittedBytes / 2
    )
  }

  /** Counts what a connection has the database still to do. Beyond its limit it is not listened to. */
  owes(connection: Connection, frames: number, bytes: number) {
    const { uncommittedFrames, uncommittedBytes } = this.limits
    connection.uncommittedFrames += frames
    connection.uncommittedBytes += bytes
    if (connection.uncommittedFrames > uncommittedFrames || connection.uncommittedBytes > uncommittedBytes)
      this.pause(connection, 0)
  }

  private handle(connection: Connection, frame: Uint8Array) {
    connection.heard = true
    const waitMs = connection.take(this.rooms.costOf(connection, frame), this.limits, performance.now())
    try {
      this.rooms.receive(connection, frame)
    } catch (error) {
      if (!(error instanceof MalformedUpdate)) {
        // A fault of ours, which this frame found. Thrown on it would end the process, and everybody's sockets with it.
        this.log.error({ err: error, principal: connection.principal.kind }, 'a frame could not be handled')
        return this.close(connection, 'storage_unavailable', 'this cannot be handled')
      }
      this.log.info({ why: error.message, principal: connection.principal.kind }, 'a malformed frame was refused')
      return this.close(connection, 'malformed', `refused: ${error.message}`)
    }
    if (waitMs > 0 && connection.state === 'live') this.pause(connection, waitMs)
  }

  everySecond(seconds: number, now: number) {
    const silentSince = now - this.limits.firstFrameSeconds * 1000
    for (const connection of this.all) {
      if (!connection.heard && connection.openedAt < silentSince)
        this.close(connection, 'idle', 'nothing was said in time')
      else if (Math.floor(connection.openedAt + seconds) % askEvery === 0) this.watchBuffer(connection, now)
    }
  }

  private watchBuffer(connection: Connection, now: number) {
    if ((connection.socket?.getBufferedAmount() ?? 0) <= laggingBytes) connection.laggingSince = 0
    else if (connection.laggingSince === 0) connection.laggingSince = now
    else if (now - connection.laggingSince > laggingMs) this.close(connection, 'slow_consumer', 'it does not read')
  }

  /** Tells every socket that the server goes, in random order over the window. */
  async drain(windowMs: number): Promise<void> {
    const connections = [...this.all].sort(() => Math.random() - 0.5)
    const endsAt = performance.now() + windowMs
    for (const [i, connection] of connections.entries()) {
      this.close(connection, 'restart', 'the server restarts')
      const left = connections.length - i
      const pause = Math.max(0, endsAt - performance.now()) / left
      if (left > 1 && pause >= 1) await Bun.sleep(pause)
    }
  }

  stop() {
    clearTimeout(this.resumeTimer)
  }
}
