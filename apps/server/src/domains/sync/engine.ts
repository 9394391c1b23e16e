import { createHash } from 'node:crypto'
import type { SQL } from 'bun'
import type { Log } from '../../kernel/log.ts'
import { ClockRanges, decodeVector } from './clock-ranges.ts'
import { type CloseReason, closeCodes } from './close-codes.ts'
import type { Access, Connection, Principal, Socket } from './connection.ts'
import { DocumentWorker } from './document-worker-client.ts'
import { Lane } from './lane.ts'
import { Bucket, defaultLimits, type SyncLimits } from './limits.ts'
import { awarenessFrame, decodeFrame, keepaliveFrame, step1Frame, updateFrame } from './protocol.ts'
import { type Entry, Room } from './room.ts'
import { continueServing, sendTo, serveState, unsubscribe } from './serve-state.ts'
import { loadRoom, type StoredRoom, writeSnapshot } from './store.ts'
import { TimerWheel } from './timer-wheel.ts'
import { MalformedUpdate, walkUpdate } from './walk-update.ts'

export type EngineOptions = {
  /** Reads and snapshots. */
  sql: SQL
  /** A driver of its own for each lane. */
  connect: (max: number) => SQL
  log: Log
  limits?: Partial<SyncLimits>
  lanes?: number
}

const keepaliveTopics = Array.from({ length: 20 }, (_, i) => `ka${i}`)
const coldAfterMs = 60_000
const compactFromBytes = 256 * 1024
const compactFromUpdates = 2000
/** A room that falls cold keeps a tail of this size as it is. */
const coldTailBytes = 16 * 1024
const laggingBytes = 256 * 1024
const laggingMs = 30_000

/** Rooms, the connections in them and the log behind them: everything of the realtime plane but sockets and tokens. */
export class SyncEngine {
  readonly limits: SyncLimits
  /** Hands one message to everybody on a topic. Set when the server listens. */
  publish: (topic: string, frame: Uint8Array) => void = () => {}
  draining = false

  private readonly rooms = new Map<string, Room>()
  private readonly opening = new Map<string, Promise<Room>>()
  private readonly all = new Set<Connection>()
  private readonly bySession = new Map<string, Set<Connection>>()
  private readonly byUser = new Map<string, Set<Connection>>()
  private readonly byOrganization = new Map<string, Set<Connection>>()

  private readonly lanes: Lane[]
  private readonly laneDrivers: SQL[]
  private readonly worker = new DocumentWorker()
  private readonly firstFrames = new TimerWheel<Connection>(performance.now() / 1000)
  private readonly pausedConnections = new Set<Connection>()
  private readonly secondTimer: ReturnType<typeof setInterval>
  private resumeTimer: ReturnType<typeof setTimeout> | undefined
  private seconds = 0
  private connectionCount = 0
  /** Bytes of all rooms that wait for the database. */
  private pendingBytes = 0
  private readonly sql: SQL
  private readonly log: Log

  constructor({ sql, connect, log, limits, lanes = 4 }: EngineOptions) {
    this.sql = sql
    this.log = log
    this.limits = { ...defaultLimits, ...limits }
    this.laneDrivers = Array.from({ length: lanes }, () => connect(1))
    this.lanes = this.laneDrivers.map(
      (driver) =>
        new Lane(driver, { committed: this.onCommitted, gone: (room) => this.closeRoom(room, 'room_deleted') }, log),
    )
    this.secondTimer = setInterval(() => this.everySecond(), 1000)
    this.secondTimer.unref()
  }

  // Connections

  /** Takes in an upgraded socket. Its room is loaded, its frames wait until then. */
  attach(connection: Connection, socket: Socket) {
    connection.socket = socket
    if (connection.state === 'closing') return
    connection.keepaliveTopic = keepaliveTopics[this.connectionCount++ % keepaliveTopics.length] as string
    const { userId, organizationId } = connection.principal
    if (userId && (this.byUser.get(userId)?.size ?? 0) >= this.limits.connectionsPerUser)
      return this.close(connection, 'rate_limited', 'too many connections of this user')
    if (
      organizationId &&
      (this.byOrganization.get(organizationId)?.size ?? 0) >= this.limits.connectionsPerOrganization
    )
      return this.close(connection, 'rate_limited', 'too many connections of this organization')
    this.all.add(connection)
    this.index(connection)
    const now = performance.now()
    this.firstFrames.add(connection, now / 1000 + this.limits.firstFrameSeconds)
    this.enter(connection)
  }

  private index(connection: Connection) {
    for (const [index, id] of this.indexesOf(connection.principal)) {
      const set = index.get(id)
      if (set) set.add(connection)
      else index.set(id, new Set([connection]))
    }
  }

  private unindex(connection: Connection) {
    for (const [index, id] of this.indexesOf(connection.principal)) {
      const set = index.get(id)
      set?.delete(connection)
      if (set?.size === 0) index.delete(id)
    }
  }

  private indexesOf({ sessionId, userId, organizationId }: Principal) {
    const pairs: [Map<string, Set<Connection>>, string][] = []
    if (sessionId) pairs.push([this.bySession, sessionId])
    if (userId) pairs.push([this.byUser, userId])
    if (organizationId) pairs.push([this.byOrganization, organizationId])
    return pairs
  }

  private async enter(connection: Connection): Promise<void> {
    let room: Room
    try {
      room = await this.room(connection.principal.instanceId, connection.key)
    } catch (error) {
      this.log.error({ err: error }, 'a room could not be loaded')
      return this.close(connection, 'storage_unavailable', 'the document cannot be loaded now')
    }
    if (connection.state !== 'opening') return
    if (room.deleted) return this.close(connection, 'room_deleted', 'the document was deleted')
    if (room.damaged && connection.access === 'write')
      return this.close(connection, 'storage_unavailable', 'the document is damaged and can only be read')
    if (room.connections.size >= this.limits.connectionsPerRoom)
      return this.close(connection, 'overloaded', 'the room is full')
    room.connections.add(connection)
    connection.room = room
    connection.state = 'live'
    connection.socket?.cork(() => {
      connection.socket?.send(step1Frame(room.durable.encodeVector()))
      const present = room.awareness.encodeAll()
      if (present) connection.socket?.send(awarenessFrame(present))
      this.resume(connection)
    })
  }

  /** The room in memory; loaded once, however many ask at the same time. */
  private room(instanceId: string, key: string): Promise<Room> | Room {
    const name = `${instanceId}:${key}`
    const open = this.rooms.get(name)
    if (open) return open
    let loading = this.opening.get(name)
    if (!loading) {
      loading = loadRoom(this.sql, instanceId, key)
        .then((stored) => this.openRoom(name, instanceId, key, stored))
        .finally(() => this.opening.delete(name))
      this.opening.set(name, loading)
    }
    return loading
  }

  private openRoom(name: string, instanceId: string, key: string, stored: StoredRoom): Room {
    if (stored.damaged)
      this.log.error({ room: stored.id }, 'a stored document is damaged; what precedes the damage is served')
    const room = new Room(instanceId, key, stored, performance.now())
    room.deleted = stored.deleted
    this.rooms.set(name, room)
    return room
  }

  /** The socket is gone, or was cut. */
  detach(connection: Connection) {
    connection.state = 'closing'
    if (!this.all.delete(connection)) return
    this.unindex(connection)
    this.pausedConnections.delete(connection)
    connection.queue = undefined
    connection.deferred = undefined
    const { room } = connection
    if (!room) return
    room.connections.delete(connection)
    if (room.awareness.leave(connection, performance.now())) this.scheduleAwareness(room)
    if (room.connections.size === 0) room.emptySince = performance.now()
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

  private closeRoom(room: Room, reason: CloseReason) {
    this.pendingBytes -= room.pendingBytes
    room.pendingBytes = 0
    this.rooms.delete(`${room.instanceId}:${room.key}`)
    for (const connection of [...room.connections]) this.close(connection, reason, 'the document is gone')
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

  /** A live connection showed a new credential: it is found by the ids of that one from now on. */
  setPrincipal(connection: Connection, principal: Principal) {
    if (!this.all.has(connection)) return
    this.unindex(connection)
    connection.principal = principal
    this.index(connection)
  }

  /** Swaps the rights of a live connection. They hold from its next frame on. */
  setAccess(connection: Connection, access: Access) {
    if (connection.access === access) return
    connection.access = access
    connection.sendText({ t: 'role', access })
    // It may have edited while it could only read: ask for what we lack.
    if (access === 'write' && connection.room) sendTo(connection, step1Frame(connection.room.durable.encodeVector()))
  }

  // What clients say

  /** A frame of a client. Synchronous: frames of one socket are handled in their order. */
  receive(connection: Connection, frame: Uint8Array | string) {
    if (connection.state === 'closing') return
    if (typeof frame === 'string') return this.close(connection, 'malformed', 'only binary frames are understood')
    if (connection.state === 'opening' || connection.paused || connection.queue?.length)
      return this.enqueue(connection, frame)
    this.handle(connection, frame)
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
    this.pausedConnections.add(connection)
    this.scheduleResume()
  }

  private scheduleResume() {
    this.resumeTimer ??= setTimeout(() => {
      this.resumeTimer = undefined
      for (const connection of [...this.pausedConnections]) this.resume(connection)
      if (this.pausedConnections.size > 0) this.scheduleResume()
    }, 20)
  }

  /** Takes up what waits, as far as rates and commits allow. */
  private resume(connection: Connection) {
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
    this.pausedConnections.delete(connection)
    connection.socket?.resume()
  }

  private mustWait(connection: Connection): boolean {
    const { uncommittedFrames, uncommittedBytes } = this.limits
    return (
      performance.now() < connection.resumeAt ||
      connection.uncommittedFrames > uncommittedFrames / 2 ||
      connection.uncommittedBytes > uncommittedBytes / 2
    )
  }

  private handle(connection: Connection, frame: Uint8Array) {
    connection.heard = true
    const now = performance.now()
    const { limits } = this
    const isFirstStep2 = frame[0] === 0 && frame[1] === 1 && !connection.spentFirstStep2
    if (isFirstStep2) connection.spentFirstStep2 = true
    const waitMs = Math.max(
      connection.messages.take(1, limits.messagesPerSecond, limits.messagesBurst, now),
      connection.bytes.take(isFirstStep2 ? 0 : frame.length, limits.bytesPerSecond, limits.bytesBurst, now),
    )
    try {
      this.dispatch(connection, frame, now)
    } catch (error) {
      if (!(error instanceof MalformedUpdate)) throw error
      this.log.info({ why: error.message, principal: connection.principal.kind }, 'a malformed frame was refused')
      return this.close(connection, 'malformed', `refused: ${error.message}`)
    }
    if (waitMs > 0 && connection.state === 'live') this.pause(connection, waitMs)
  }

  private dispatch(connection: Connection, frame: Uint8Array, now: number) {
    const room = connection.room as Room
    const message = decodeFrame(frame)
    switch (message.type) {
      case 'sync_step_1':
        return serveState(connection, decodeVector(message.vector), message.vector, this.worker)
      case 'sync_step_2':
        return this.takeUpdate(connection, room, message.update, updateFrame(message.update), true, now)
      case 'update':
        return this.takeUpdate(connection, room, message.update, frame, false, now)
      case 'awareness':
        return this.takePresence(connection, room, message.payload, now)
      case 'query_awareness': {
        const present = room.awareness.encodeAll()
        if (present) sendTo(connection, awarenessFrame(present))
        return
      }
      case 'sync_status':
        // Answered once everything before it is durable: then the client may say "saved".
        if (room.committed === room.tail.length) sendTo(connection, message.payload)
        else room.statuses.push({ position: room.end, connection, frame: message.payload })
        return
      case 'unknown':
        return
    }
  }

  private takeUpdate(
    connection: Connection,
    room: Room,
    update: Uint8Array,
    frame: Uint8Array,
    isStep2: boolean,
    now: number,
  ) {
    // A reader's stock client answers our SyncStep1 as everybody does: that is no reason to close it.
    if (connection.access !== 'write') return
    const { limits } = this
    if (update.length > (isStep2 ? limits.documentBytes : limits.updateBytes))
      return this.close(connection, 'too_large', 'the update is too large')
    const { ranges, hasDeletes } = walkUpdate(update)
    if (ranges.length === 0 && !hasDeletes) return
    // After a reconnect a client repeats what it has, deletions always included. What is durable need not be again.
    const isKnown = room.durable.covers(ranges)
    if (isKnown && !hasDeletes) return sendTo(connection, frame)
    const digest = isStep2 ? createHash('sha256').update(update).digest('latin1') : undefined
    if (isKnown && digest && room.knownSteps.has(digest)) return
    if (room.bytes + update.length > limits.documentBytes)
      return this.close(connection, 'too_large', 'the document is full')
    const isFull =
      room.pendingBytes + update.length > Math.max(limits.roomPendingBytes, update.length) ||
      this.pendingBytes > limits.nodePendingBytes
    if (isFull) return this.close(connection, 'storage_unavailable', 'changes cannot be stored now')
    const hadGap = room.held.leavesGap(ranges)
    // A client can send what another one wrote. Given out before it is durable, it would reach its author and look
    // like the acknowledgement.
    const isDeferred = !room.held.isBehind(ranges)
    room.append({ update, frame, ranges, author: connection, at: now, isDeferred, digest, seq: 0 })
    this.pendingBytes += update.length
    connection.uncommittedFrames++
    connection.uncommittedBytes += update.length
    if (!isDeferred) connection.socket?.publish(room.topic, frame)
    this.laneOf(room).add(room)
    if (hadGap && now - connection.gapAskedAt > 1000) {
      connection.gapAskedAt = now
      sendTo(connection, step1Frame(room.durable.encodeVector()))
    }
    if (
      connection.uncommittedFrames > limits.uncommittedFrames ||
      connection.uncommittedBytes > limits.uncommittedBytes
    )
      this.pause(connection, 0)
  }

  private takePresence(connection: Connection, room: Room, payload: Uint8Array, now: number) {
    const { limits } = this
    connection.presence ??= new Bucket(limits.awarenessPerSecond, now)
    const change = room.awareness.apply(payload, connection, now, limits.awarenessBytes, samePrincipal, () => {
      const bucket = connection.presence as Bucket
      if (bucket.take(1, limits.awarenessPerSecond, limits.awarenessPerSecond, now) === 0) return true
      bucket.take(-1, limits.awarenessPerSecond, limits.awarenessPerSecond, now)
      return false
    })
    if (change === 'changed') this.scheduleAwareness(room)
  }

  private scheduleAwareness(room: Room) {
    if (room.awarenessTimer || room.connections.size === 0) return
    const n = room.connections.size
    const delay = n <= 50 ? 50 : n <= 200 ? 100 : n <= 500 ? 250 : 1000
    room.awarenessTimer = setTimeout(() => {
      room.awarenessTimer = undefined
      const changes = room.awareness.takeChanges()
      if (changes) this.publish(room.topic, awarenessFrame(changes))
    }, delay)
  }

  // The log

  private laneOf(room: Room): Lane {
    return this.lanes[Math.abs(Bun.hash.crc32(room.topic)) % this.lanes.length] as Lane
  }

  private readonly onCommitted = (room: Room, entries: Entry[]): void => {
    let acknowledged = false
    const acknowledge = () => {
      acknowledged = true
      this.acknowledge(room, entries)
    }
    // Nearly always one author: outside of a handler each of its echoes would be a write of its own.
    entries[0]?.author?.socket?.cork(acknowledge)
    // A socket that is closed already does not cork, and calls nothing.
    if (!acknowledged) acknowledge()
    if (room.owed.length > 0) this.payOwed(room)
    if (room.statuses.length > 0) {
      const durable = room.base + room.committed
      room.statuses = room.statuses.filter(({ position, connection, frame }) => {
        if (position > durable) return true
        sendTo(connection, frame)
        return false
      })
    }
    for (const connection of this.pausedConnections) if (connection.room === room) this.resume(connection)
    if (this.wantsCompaction(room)) this.compact(room)
  }

  private acknowledge(room: Room, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { author, frame, update } = entry
      entry.author = undefined
      this.pendingBytes -= update.length
      if (!author) continue
      if (entry.isDeferred) {
        if (author.state === 'live') author.socket?.publish(room.topic, frame)
        else this.publish(room.topic, frame)
      }
      author.uncommittedFrames--
      author.uncommittedBytes -= update.length
      // The echo is the acknowledgement: it is sent only now that the update is durable.
      if (author.state === 'live') sendTo(author, frame)
    }
  }

  private payOwed(room: Room) {
    const durable = room.base + room.committed
    room.owed = room.owed.filter((debt) => {
      for (; debt.from < Math.min(debt.to, durable); debt.from++) {
        const entry = room.tail[debt.from - room.base]
        if (entry) sendTo(debt.connection, entry.frame)
      }
      return debt.from < debt.to && debt.connection.state === 'live'
    })
  }

  private wantsCompaction(room: Room): boolean {
    if (room.compacting || room.damaged || room.bytes < room.compactAbove) return false
    return (
      room.committed >= compactFromUpdates ||
      room.tailBytes > Math.max(compactFromBytes, (room.snapshot?.length ?? 0) / 2)
    )
  }

  /**
   * Makes a snapshot of what is durable, in the worker. Taken only if it holds exactly the same operations; otherwise
   * the updates stay as they are, and nothing is lost but space.
   */
  private async compact(room: Room): Promise<void> {
    const n = room.committed
    const last = room.tail[n - 1]
    if (room.compacting || !last || room.id === undefined) return
    // Another node's updates are missing here: the snapshot would claim numbers that it does not contain.
    if (room.tail.slice(0, n).some((entry, i) => entry.seq !== room.snapshotSeq + 1 + i)) return
    room.compacting = true
    const expected = room.durable.clone()
    try {
      const tail = room.tail.slice(0, n).map((entry) => entry.update)
      const bytes = await this.worker.run({ kind: 'compact', updates: room.snapshot ? [room.snapshot, ...tail] : tail })
      const got = new ClockRanges()
      if (bytes) got.addAll(walkUpdate(bytes).ranges)
      if (!bytes || !got.equals(expected)) throw new Error('the snapshot does not hold what the updates hold')
      if (await writeSnapshot(this.sql, room.id, last.seq, bytes)) {
        room.replace(n, bytes, last.seq)
        room.compactAbove = 0
      }
    } catch (error) {
      room.compactAbove = room.bytes * 2
      this.log.warn({ err: error, room: room.id }, 'a document could not be compacted; its updates are kept')
    } finally {
      room.compacting = false
    }
  }

  // Time

  private everySecond() {
    const now = performance.now()
    this.seconds++
    this.publish(keepaliveTopics[this.seconds % keepaliveTopics.length] as string, keepaliveFrame)
    for (const connection of this.firstFrames.advance(now / 1000))
      if (!connection.heard) this.close(connection, 'idle', 'nothing was said in time')
    for (const connection of this.all) this.watchBuffer(connection, now)
    for (const [name, room] of this.rooms) this.careFor(name, room, now)
  }

  private watchBuffer(connection: Connection, now: number) {
    if ((connection.socket?.getBufferedAmount() ?? 0) <= laggingBytes) connection.laggingSince = 0
    else if (connection.laggingSince === 0) connection.laggingSince = now
    else if (now - connection.laggingSince > laggingMs) this.close(connection, 'slow_consumer', 'it does not read')
  }

  private careFor(name: string, room: Room, now: number) {
    if (this.seconds % 10 === 0) {
      room.awareness.sweep(now)
      const renewals = room.awareness.takeRenewals()
      if (renewals && room.connections.size > 0) this.publish(room.topic, awarenessFrame(renewals))
    }
    if (room.connections.size > 0 || room.committed < room.tail.length || room.compacting) return
    if (now - room.emptySince < coldAfterMs) return
    if (room.tailBytes > coldTailBytes && room.bytes >= room.compactAbove && !room.damaged) {
      room.emptySince = now
      this.compact(room)
    } else this.rooms.delete(name)
  }

  /** The socket has taken what it was given. */
  drained(connection: Connection) {
    if (connection.serving) continueServing(connection)
  }

  /** Tells every socket that the server goes, in random order over the window, then makes everything durable. */
  async drain(windowMs: number): Promise<void> {
    this.draining = true
    const connections = [...this.all].sort(() => Math.random() - 0.5)
    const endsAt = performance.now() + windowMs
    for (const [i, connection] of connections.entries()) {
      this.close(connection, 'restart', 'the server restarts')
      const left = connections.length - i
      const pause = Math.max(0, endsAt - performance.now()) / left
      if (left > 1 && pause >= 1) await Bun.sleep(pause)
    }
    await Promise.race([Promise.all(this.lanes.map((lane) => lane.settle())), Bun.sleep(5000)])
  }

  async stop(): Promise<void> {
    clearInterval(this.secondTimer)
    clearTimeout(this.resumeTimer)
    for (const room of this.rooms.values()) clearTimeout(room.awarenessTimer)
    for (const lane of this.lanes) lane.stop()
    this.worker.end()
    await Promise.all(this.laneDrivers.map((driver) => driver.close({ timeout: 2 })))
  }

  get stats() {
    return { connections: this.all.size, rooms: this.rooms.size }
  }
}

/** A client id that a half-open socket still holds may be taken over by the same person's new socket. */
function samePrincipal(a: Connection, b: Connection): boolean {
  return a.principal.userId !== undefined && a.principal.userId === b.principal.userId
}
