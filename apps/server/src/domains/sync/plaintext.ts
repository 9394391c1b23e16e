import { createHash } from 'node:crypto'
import { RemotePeer } from './awareness.ts'
import { ClockRanges, decodeVector } from './clock-ranges.ts'
import type { Connection } from './connection.ts'
import { DocumentWorker } from './document-worker-client.ts'
import type { EngineParts } from './engine.ts'
import { Bucket } from './limits.ts'
import { Outboxes } from './outbox.ts'
import { PlaintextRoom, type UpdateEntry } from './plaintext-room.ts'
import { awarenessFrame, decodeFrame, keepaliveFrame, step1Frame, updateFrame } from './protocol.ts'
import type { RoomKind } from './room-kind.ts'
import { continueServing, sendTo, serveState } from './serve-state.ts'
import { loadRoom, type RoomState, readSnapshot, writeSnapshot } from './store.ts'
import { decodeClocks } from './stored-snapshot.ts'
import { type ClockRange, walkUpdate } from './walk-update.ts'

const keepaliveSeconds = 20
const coldAfterMs = 60_000
const compactFromBytes = 256 * 1024
const compactFromUpdates = 2000
/** A room that falls cold keeps a tail of this size as it is. */
const coldTailBytes = 16 * 1024

/** Documents whose updates the server can read: the y-websocket protocol over a log of updates. */
export class Plaintext implements RoomKind<PlaintextRoom, UpdateEntry> {
  readonly kind = 'yjs'
  private readonly worker = new DocumentWorker()
  private readonly parts: EngineParts
  private readonly outboxes: Outboxes
  private roomCount = 0

  constructor(parts: EngineParts) {
    this.parts = parts
    this.outboxes = new Outboxes(parts.publish)
  }

  async load(instanceId: string, key: string): Promise<PlaintextRoom> {
    const stored = await loadRoom(this.parts.sql, instanceId, key)
    if (stored.damaged)
      this.parts.log.error({ room: stored.id }, 'a stored document is damaged; what precedes the damage is served')
    const room = new PlaintextRoom(instanceId, key, stored, this.outboxes, performance.now())
    room.awareness.tracksOwn = this.parts.tell !== undefined
    room.keepaliveAt = this.roomCount++ % keepaliveSeconds
    return room
  }

  entered(connection: Connection, room: PlaintextRoom) {
    connection.socket?.send(step1Frame(room.durable.encodeVector()))
    connection.presenceVersion = room.awareness.version
    const present = room.awareness.encodeAll()
    if (present) connection.socket?.send(awarenessFrame(present))
  }

  left(connection: Connection, room: PlaintextRoom) {
    if (room.awareness.leave(connection, performance.now())) this.scheduleAwareness(room)
  }

  accessChanged(connection: Connection, room: PlaintextRoom) {
    // It may have edited while it could only read: ask for what we lack.
    if (connection.access === 'write') sendTo(connection, step1Frame(room.durable.encodeVector()))
  }

  costOf(connection: Connection, frame: Uint8Array): number {
    const isFirstStep2 = frame[0] === 0 && frame[1] === 1 && !connection.spentFirstStep2
    if (isFirstStep2) connection.spentFirstStep2 = true
    return isFirstStep2 ? 0 : frame.length
  }

  receive(connection: Connection, room: PlaintextRoom, frame: Uint8Array) {
    const message = decodeFrame(frame)
    switch (message.type) {
      case 'sync_step_1':
        return serveState(connection, decodeVector(message.vector), message.vector, this.worker)
      case 'sync_step_2':
        return this.takeUpdate(connection, room, message.update, updateFrame(message.update), true)
      case 'update':
        return this.takeUpdate(connection, room, message.update, frame, false)
      case 'awareness':
        return this.takePresence(connection, room, message.payload)
      case 'query_awareness': {
        const present = room.awareness.encodeAll()
        if (present) sendTo(connection, awarenessFrame(present))
        return
      }
      case 'sync_status': {
        // Answered once everything before it is durable: then the client may say "saved".
        const after = room.tail[room.tail.length - 1]
        if (!after || !room.hasUncommitted) sendTo(connection, message.payload)
        else room.statuses.push({ after, connection, frame: message.payload })
        return
      }
      case 'unknown':
        return
    }
  }

  private takeUpdate(
    connection: Connection,
    room: PlaintextRoom,
    update: Uint8Array,
    frame: Uint8Array,
    isStep2: boolean,
  ) {
    // A reader's stock client answers our SyncStep1 as everybody does: that is no reason to close it.
    if (connection.access !== 'write') return
    const { limits, hub, roomLog } = this.parts
    if (update.length > (isStep2 ? limits.documentBytes : limits.updateBytes))
      return hub.close(connection, 'too_large', 'the update is too large')
    const { ranges, hasDeletes } = walkUpdate(update)
    if (ranges.length === 0 && !hasDeletes) return
    // After a reconnect a client repeats what it has, deletions always included. What is durable need not be again.
    const isKnown = room.durable.covers(ranges)
    if (isKnown && !hasDeletes) return sendTo(connection, frame)
    const digest = isStep2 ? createHash('sha256').update(update).digest('latin1') : undefined
    if (isKnown && digest && room.knownSteps.has(digest)) return
    if (room.bytes + update.length > limits.documentBytes)
      return hub.close(connection, 'too_large', 'the document is full')
    if (room.held.size + ranges.length > limits.clientsPerDocument && this.addsTooMany(room, ranges))
      return hub.close(connection, 'too_large', 'too many clients have written to the document')
    const isFull =
      room.pendingBytes + update.length > Math.max(limits.roomPendingBytes, update.length) ||
      roomLog.pendingBytes > limits.nodePendingBytes
    if (isFull) return hub.close(connection, 'storage_unavailable', 'changes cannot be stored now')
    const hadGap = room.held.leavesGap(ranges)
    // A client can send what another one wrote. Given out before it is durable, it would reach its author and look
    // like the acknowledgement.
    const isDeferred = !room.held.isBehind(ranges)
    const entry = { bytes: update, frame, ranges, author: connection, at: Date.now(), isDeferred, digest, seq: 0 }
    const now = performance.now()
    roomLog.append(room, entry)
    if (!isDeferred) room.outbox.send(connection, frame, now)
    if (hadGap && now - connection.gapAskedAt > 1000) {
      connection.gapAskedAt = now
      sendTo(connection, step1Frame(room.durable.encodeVector()))
    }
    hub.owes(connection, 1, update.length)
  }

  private addsTooMany(room: PlaintextRoom, ranges: readonly ClockRange[]): boolean {
    const strangers = new Set(ranges.map(({ client }) => client).filter((client) => !room.held.has(client)))
    return room.held.size + strangers.size > this.parts.limits.clientsPerDocument
  }

  private takePresence(connection: Connection, room: PlaintextRoom, payload: Uint8Array) {
    const { limits } = this.parts
    const now = performance.now()
    const isFirst = connection.presence === undefined
    connection.presence ??= new Bucket(limits.awarenessPerSecond, now)
    const mayChange = () => {
      const bucket = connection.presence as Bucket
      if (bucket.take(1, limits.awarenessPerSecond, limits.awarenessPerSecond, now) === 0) return true
      bucket.take(-1, limits.awarenessPerSecond, limits.awarenessPerSecond, now)
      return false
    }
    const { awarenessBytes } = limits
    const change = room.awareness.apply(payload, connection, now, awarenessBytes, samePrincipal, mayChange, isFirst)
    if (change === 'changed') this.scheduleAwareness(room)
  }

  private scheduleAwareness(room: PlaintextRoom) {
    if (room.awarenessTimer || room.connections.size === 0) return
    const n = room.connections.size
    const delay = n <= 50 ? 50 : n <= 200 ? 100 : n <= 500 ? 250 : 1000
    room.awarenessTimer = setTimeout(() => {
      room.awarenessTimer = undefined
      const changes = room.awareness.takeChanges()
      if (changes) this.parts.publish(room.topic, awarenessFrame(changes))
      this.tellNodes(room)
    }, delay)
  }

  private tellNodes(room: PlaintextRoom) {
    const own = room.awareness.takeOwnChanges(userOf)
    if (own) this.parts.tell?.(room, own)
  }

  heard(room: PlaintextRoom, nodeId: string, bytes: Uint8Array) {
    if (room.awareness.applyOfNode(nodeId, bytes, performance.now(), this.parts.limits.awarenessBytes))
      this.scheduleAwareness(room)
  }

  presence(room: PlaintextRoom): Uint8Array | undefined {
    return room.awareness.encodeOwn(userOf)
  }

  nodeGone(room: PlaintextRoom, nodeId: string) {
    const isOfNode = (owner: Connection | RemotePeer) => owner instanceof RemotePeer && owner.nodeId === nodeId
    if (room.awareness.leaveAll(isOfNode, performance.now())) this.scheduleAwareness(room)
  }

  drained(connection: Connection) {
    if (connection.serving) continueServing(connection)
  }

  committed(room: PlaintextRoom, entries: UpdateEntry[]) {
    this.acknowledge(room, entries)
    if (room.owed.length > 0) this.payOwed(room)
    if (room.statuses.length > 0) {
      room.statuses = room.statuses.filter(({ after, connection, frame }) => {
        if (after.seq === 0) return true
        sendTo(connection, frame)
        return false
      })
    }
    this.parts.hub.resumeRoom(room)
    if (this.wantsCompaction(room)) this.compact(room)
  }

  /** The echo is the acknowledgement: it is sent only now that the update is durable. */
  private acknowledge(room: PlaintextRoom, entries: readonly UpdateEntry[]): void {
    const echoes = new Map<Connection, Uint8Array[]>()
    for (const entry of entries) {
      const { author, frame, bytes } = entry
      entry.author = undefined
      if (!author) continue
      if (entry.isDeferred) room.outbox.send(author, frame, performance.now())
      author.uncommittedFrames--
      author.uncommittedBytes -= bytes.length
      const frames = echoes.get(author)
      if (frames) frames.push(frame)
      else echoes.set(author, [frame])
    }
    // Most of the room is written to now: what waits for a write goes along.
    if (echoes.size * 2 >= room.connections.size) room.outbox.flush()
    // Outside of a handler each frame would be a write of its own, and what was published before it another one.
    for (const [author, frames] of echoes)
      if (author.state === 'live')
        author.socket?.cork(() => {
          for (const frame of frames) sendTo(author, frame)
        })
  }

  private payOwed(room: PlaintextRoom) {
    room.owed = room.owed.filter((debt) => {
      const open = debt.entries.filter(({ seq }) => seq === 0)
      for (const { seq, frame } of debt.entries) if (seq > 0) sendTo(debt.connection, frame)
      debt.entries = open
      return open.length > 0 && debt.connection.state === 'live'
    })
  }

  arrived(room: PlaintextRoom, entries: UpdateEntry[]) {
    const now = performance.now()
    for (const { frame } of entries) room.outbox.send(undefined, frame, now)
    if (this.wantsCompaction(room)) this.compact(room)
  }

  looked(room: PlaintextRoom, { snapshotSeq }: RoomState) {
    if (snapshotSeq > room.snapshotSeq && snapshotSeq <= room.head && !room.compacting) this.takeSnapshot(room)
  }

  /** Another node has compacted: its snapshot takes the place of the updates here as well. */
  private async takeSnapshot(room: PlaintextRoom): Promise<void> {
    room.compacting = true
    try {
      const live = await readSnapshot(this.parts.sql, room.id as number)
      if (live && live.seq > room.snapshotSeq && live.seq <= room.head) room.replace(live.snapshot, live.seq)
    } catch (error) {
      this.parts.log.warn({ err: error, room: room.id }, 'the snapshot of another node could not be read')
    } finally {
      room.compacting = false
    }
  }

  refused(room: PlaintextRoom) {
    this.parts.log.error({ room: room.id }, 'an append to an existing document was refused')
  }

  private wantsCompaction(room: PlaintextRoom): boolean {
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
  private async compact(room: PlaintextRoom): Promise<void> {
    const n = room.committed
    const last = room.tail[n - 1]
    if (room.compacting || !last || room.id === undefined) return
    // Another node's updates are missing here: the snapshot would claim numbers that it does not contain.
    if (room.tail.slice(0, n).some((entry, i) => entry.seq !== room.snapshotSeq + 1 + i)) return
    room.compacting = true
    const expected = room.durable.clone()
    let outdated = false
    try {
      const tail = room.tail.slice(0, n).map((entry) => entry.bytes)
      const made = await this.worker.compact(room.snapshot ? [room.snapshot, ...tail] : tail)
      const got = new ClockRanges()
      if (made) got.addAll(decodeClocks(made.packed.clocks ?? new Uint8Array()) ?? [])
      if (!made || !got.equals(expected)) throw new Error('the snapshot does not hold what the updates hold')
      if (room.gone) return
      if (await writeSnapshot(this.parts.sql, room.id, last.seq, made.packed, room.incarnation)) {
        room.replace({ frame: made.frame, update: made.frame.subarray(made.start) }, last.seq)
        room.compactAbove = 0
      } else outdated = true
    } catch (error) {
      room.compactAbove = room.bytes * 2
      this.parts.log.warn({ err: error, room: room.id }, 'a document could not be compacted; its updates are kept')
    } finally {
      room.compacting = false
    }
    if (outdated) await this.takeSnapshot(room)
    // What came meanwhile, in a burst that is over perhaps: no other commit will ask.
    if (!room.gone && this.wantsCompaction(room)) this.compact(room)
  }

  everySecond(room: PlaintextRoom, seconds: number, now: number) {
    // Stock clients count data messages only: each gets one in time, and not all in the same second.
    if (seconds % keepaliveSeconds === room.keepaliveAt && room.connections.size > 0)
      this.parts.publish(room.topic, keepaliveFrame)
    if (seconds % 10 !== 0) return
    room.awareness.sweep(now)
    const renewals = room.awareness.takeRenewals()
    if (renewals && room.connections.size > 0) this.parts.publish(room.topic, awarenessFrame(renewals))
    this.tellNodes(room)
  }

  mayForget(room: PlaintextRoom, now: number): boolean {
    if (room.hasUncommitted || room.compacting || now - room.emptySince < coldAfterMs) return false
    if (room.tailBytes <= coldTailBytes || room.bytes < room.compactAbove || room.damaged) return true
    room.emptySince = now
    this.compact(room)
    return false
  }

  forget(room: PlaintextRoom) {
    clearTimeout(room.awarenessTimer)
  }

  stop() {
    this.outboxes.stop()
    this.worker.end()
  }
}

/** A client id that a half-open socket still holds may be taken over by the same person's new socket. */
function samePrincipal(a: Connection | RemotePeer, b: Connection | RemotePeer): boolean {
  return userOf(a) !== undefined && userOf(a) === userOf(b)
}

const userOf = (owner: Connection | RemotePeer) => (owner instanceof RemotePeer ? owner.userId : owner.principal.userId)
