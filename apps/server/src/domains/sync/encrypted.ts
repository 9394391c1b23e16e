import { countSyncFrames } from '../../kernel/metrics.ts'
import type { Connection } from './connection.ts'
import {
  decodeEncryptedFrame,
  type EncryptedMessage,
  encryptedFrames,
  type NackCode,
  protocolVersion,
  type RosterEntry,
} from './encrypted-frames.ts'
import { EncryptedRoom, type EnvelopeEntry, Member, type Outstanding } from './encrypted-room.ts'
import { Snapshots } from './encrypted-snapshots.ts'
import { loadEncryptedRoom, readChunk, readEntries, writeKeyParams } from './encrypted-store.ts'
import type { EngineParts } from './engine.ts'
import { type EnvelopeHeader, envelopeKinds, readEnvelope } from './envelope.ts'
import { Bucket } from './limits.ts'
import type { Room } from './room.ts'
import type { RoomKind } from './room-kind.ts'
import { ephemeralTopic, sendDeferred, sendTo } from './serve-state.ts'
import { type RoomState, WrongRoomKind } from './store.ts'
import { MalformedUpdate } from './walk-update.ts'

const coldAfterMs = 60_000
/** What a socket may hold before the next piece waits for it to drain. */
const bufferedAtMost = 256 * 1024
/** Entries that travel in one frame. */
const frameBytes = 64 * 1024
/** An answer to FETCH is at most so long, and so many may wait. */
const fetchBytes = 4 * 1024 * 1024
const fetchesAtMost = 8
const rosterEveryMs = 100
const rosterAtMost = 1000
/** Far beyond any rotation; the column holds four bytes. */
const lastEpoch = 1_000_000

/** Documents that only their members can read: a log of envelopes, put in order, kept, and handed out as it is. */
export class Encrypted implements RoomKind<EncryptedRoom, EnvelopeEntry> {
  readonly kind = 'e2ee'
  private readonly parts: EngineParts
  private readonly snapshots: Snapshots

  constructor(parts: EngineParts) {
    this.parts = parts
    this.snapshots = new Snapshots(parts)
  }

  async load(instanceId: string, key: string): Promise<EncryptedRoom> {
    const stored = await loadEncryptedRoom(this.parts.sql, instanceId, key)
    if (stored.damaged)
      this.parts.log.error({ room: stored.id }, 'a stored log is damaged; what precedes the damage is served')
    return new EncryptedRoom(instanceId, key, stored, performance.now())
  }

  /** The server speaks when it knows what the client has. */
  entered(connection: Connection, room: EncryptedRoom) {
    room.members.set(connection, new Member(newRef(), connection))
  }

  left(connection: Connection, room: EncryptedRoom) {
    const member = room.members.get(connection)
    if (!member) return
    room.members.delete(connection)
    member.delivery = undefined
    member.onDrain?.()
    if (room.lease?.member === member) room.lease = undefined
    this.snapshots.left(connection, room)
    if (connection.heard) this.announce(room, member, false)
  }

  accessChanged(connection: Connection, room: EncryptedRoom) {
    const member = room.members.get(connection)
    if (member) this.announce(room, member, true)
  }

  costOf(connection: Connection, frame: Uint8Array): number {
    // A snapshot is announced with its size, and only one that is wanted is taken.
    return frame[0] === 4 && frame[1] === 2 && this.snapshots.isUploading(connection) ? 0 : frame.length
  }

  receive(connection: Connection, room: EncryptedRoom, frame: Uint8Array) {
    const member = room.members.get(connection) as Member
    const message = decodeEncryptedFrame(frame)
    if (message.type !== 'hello' && member.delivery === undefined) throw new MalformedUpdate('HELLO comes first')
    switch (message.type) {
      case 'hello':
        return this.hello(member, room, message)
      case 'append':
        return this.takeEnvelope(member, room, message.cseq, message.envelope)
      case 'ephemeral':
        return this.relay(member, room, message.envelope)
      case 'fetch':
        return this.fetch(member, room, message.from, message.to)
      case 'ping':
        return sendTo(connection, encryptedFrames.pong(message.bytes))
      case 'key_params':
        return void this.takeKeyParams(member, room, message.bytes)
      case 'get':
        return this.deliverSnapshot(member, room, message.seq)
      default:
        return this.snapshots.receive(connection, room, message)
    }
  }

  // Joining

  private hello(member: Member, room: EncryptedRoom, hello: Extract<EncryptedMessage, { type: 'hello' }>) {
    const { connection } = member
    if (hello.version !== protocolVersion)
      return this.parts.hub.close(connection, 'wrong_protocol', `version ${protocolVersion} is spoken here`)
    const isFirst = member.delivery === undefined
    member.makesSnapshots = hello.makesSnapshots
    const delivery = {}
    member.delivery = delivery
    if (connection.subscribed) this.unsubscribe(connection, room)
    connection.serving = true
    if (isFirst) this.announce(room, member, true)
    // It may have been on another node and know more than this one: that is not a log that went back.
    const known = hello.lastSeq > room.head ? this.parts.roomLog.catchUp(asRoom(room)) : undefined
    const deliver = () => this.deliver(member, room, hello, delivery)
    if (known) known.then(deliver, () => this.fail(connection))
    else deliver()
  }

  private fail(connection: Connection) {
    this.parts.hub.close(connection, 'storage_unavailable', 'the document cannot be read now')
  }

  private async deliver(
    member: Member,
    room: EncryptedRoom,
    hello: Extract<EncryptedMessage, { type: 'hello' }>,
    delivery: object,
  ): Promise<void> {
    const { connection } = member
    const isHere = () => member.delivery === delivery && connection.state === 'live'
    if (!isHere()) return
    const sameLog = hello.incarnation === undefined || hello.incarnation === room.incarnation
    const chain = sameLog ? room.chainAt(hello.lastSeq) : undefined
    const resumed = hello.lastSeq > 0 && chain !== undefined && Buffer.compare(chain, hello.chain) === 0
    const snapshot = room.snapshot
    const from = resumed ? hello.lastSeq : (snapshot?.seq ?? 0)
    member.next = from + 1
    const { envelopeBytes, snapshotBytes, snapshotChunkBytes } = this.parts.limits
    connection.socket?.send(
      encryptedFrames.welcome({
        incarnation: room.incarnation,
        head: room.head,
        chain: room.chain,
        from,
        resumed,
        snapshot,
        keyEpoch: room.keyEpoch,
        access: connection.access,
        envelopeBytes,
        snapshotBytes,
        chunkBytes: snapshotChunkBytes,
        now: Date.now(),
        ref: member.ref,
        keyParams: room.keyParams,
      }),
    )
    try {
      if (!resumed && snapshot) await this.sendChunks(member, room, snapshot.seq, snapshot.chunks, isHere)
    } catch (error) {
      this.parts.log.warn({ err: error, room: room.id }, 'a snapshot could not be read')
      return this.fail(connection)
    }
    while (isHere()) {
      const entry = room.entryAt(member.next)
      if (!entry && member.next > room.head) break
      // Trimmed meanwhile, or the room went on from another snapshot: it comes back and is served from there.
      if (!entry) return this.fail(connection)
      this.sendFrom(member, room)
      await this.writable(member)
    }
    if (!isHere()) return
    // Only an empty socket may join the topic: what is published to a full one closes it.
    connection.serving = false
    sendDeferred(connection)
    connection.socket?.subscribe(room.topic)
    connection.subscribed = true
    this.hearEphemeral(member, room)
  }

  private sendFrom(member: Member, room: EncryptedRoom) {
    const entries: EnvelopeEntry[] = []
    let bytes = 0
    for (let seq = member.next; bytes < frameBytes; seq++) {
      const entry = room.entryAt(seq)
      if (!entry) break
      entries.push(entry)
      bytes += entry.bytes.length
    }
    member.connection.socket?.send(encryptedFrames.frames(member.next, entries))
    member.next += entries.length
  }

  private async sendChunks(member: Member, room: EncryptedRoom, seq: number, chunks: number, isHere: () => boolean) {
    for (let n = 0; n < chunks; n++) {
      const chunk = await readChunk(this.parts.sql, room.id as number, seq, n)
      if (!chunk) throw new Error('a chunk of a snapshot is missing')
      await this.writable(member)
      if (!isHere()) return
      member.connection.socket?.send(encryptedFrames.snapshotChunk(seq, n, chunk))
    }
  }

  /** Resolves once the socket can take more; also when it is gone. */
  private async writable(member: Member): Promise<void> {
    while (member.connection.state === 'live' && (member.connection.socket?.getBufferedAmount() ?? 0) > bufferedAtMost)
      await new Promise<void>((resolve) => {
        const before = member.onDrain
        member.onDrain = () => {
          before?.()
          resolve()
        }
      })
  }

  drained(connection: Connection, room: EncryptedRoom) {
    const member = room.members.get(connection)
    const { onDrain } = member ?? {}
    if (member) member.onDrain = undefined
    onDrain?.()
  }

  private hearEphemeral(member: Member, room: EncryptedRoom) {
    member.hearsEphemeral = true
    member.connection.socket?.subscribe(ephemeralTopic(room))
    const entries: RosterEntry[] = []
    for (const other of room.members.values()) if (other.delivery) entries.push(rosterEntry(other, true))
    for (const node of room.elsewhere.values()) entries.push(...node.values())
    sendTo(member.connection, encryptedFrames.roster(entries.slice(0, rosterAtMost)))
  }

  private unsubscribe(connection: Connection, room: EncryptedRoom) {
    connection.subscribed = false
    connection.socket?.unsubscribe(room.topic)
    connection.socket?.unsubscribe(ephemeralTopic(room))
  }

  private announce(room: EncryptedRoom, member: Member, joined: boolean) {
    this.announceAll(room, [rosterEntry(member, joined)], true)
  }

  private announceAll(room: EncryptedRoom, entries: readonly RosterEntry[], areOurs: boolean) {
    room.rosterChanges.push(...entries)
    if (areOurs) room.ownRosterChanges.push(...entries)
    room.rosterTimer ??= setTimeout(() => {
      room.rosterTimer = undefined
      const changes = room.rosterChanges.splice(0)
      if (changes.length > 0) this.parts.publish(ephemeralTopic(room), encryptedFrames.roster(changes))
      const ours = room.ownRosterChanges.splice(0)
      if (ours.length > 0) this.parts.tell?.(asRoom(room), nodeMessage('roster', ours))
    }, rosterEveryMs)
  }

  // Other nodes

  heard(room: EncryptedRoom, nodeId: string, bytes: Uint8Array) {
    if (bytes[0] === nodeMessages.ephemeral) return this.parts.publish(ephemeralTopic(room), bytes.slice(1))
    const entries = JSON.parse(Buffer.from(bytes.subarray(1)).toString()) as RosterEntry[]
    const known = room.elsewhere.get(nodeId) ?? new Map<number, RosterEntry>()
    room.elsewhere.set(nodeId, known)
    // What a node stands for as a whole comes more than once: whoever is known already does not join again.
    const news = entries.filter(
      (entry) => entry.joined !== known.has(entry.ref) || entry.access !== known.get(entry.ref)?.access,
    )
    for (const entry of news) {
      if (entry.joined) known.set(entry.ref, entry)
      else known.delete(entry.ref)
    }
    this.announceAll(room, news, false)
  }

  presence(room: EncryptedRoom): Uint8Array | undefined {
    const entries = [...room.members.values()].filter((m) => m.delivery).map((m) => rosterEntry(m, true))
    return entries.length > 0 ? nodeMessage('roster', entries) : undefined
  }

  nodeGone(room: EncryptedRoom, nodeId: string) {
    const gone = [...(room.elsewhere.get(nodeId)?.values() ?? [])]
    room.elsewhere.delete(nodeId)
    this.announceAll(
      room,
      gone.map((entry) => ({ ...entry, joined: false })),
      false,
    )
  }

  // The log

  private takeEnvelope(member: Member, room: EncryptedRoom, cseq: number, envelope: Uint8Array) {
    const { connection } = member
    const { limits, hub, roomLog } = this.parts
    if (cseq <= member.lastCseq) throw new MalformedUpdate('a number that was used already')
    member.lastCseq = cseq
    const nack = (code: NackCode, retryAfterMs = 0) =>
      sendTo(connection, encryptedFrames.nack(cseq, code, retryAfterMs))
    if (connection.access !== 'write') return nack(403)
    if (envelope.length > limits.envelopeBytes) return nack(413)
    const header = headerOf(envelope)
    if (!header || header.kind !== envelopeKinds.update || header.epoch > lastEpoch) return nack(422)
    const outstanding: Outstanding = { cseq, state: 'open', seq: 0 }
    const known = room.find(header.session, header.counter)
    if (known) {
      // The same again, after an acknowledgement that was lost: stored once. Anything else under its number is not.
      if (known !== 'before' && Buffer.compare(known.bytes, envelope) !== 0) return nack(422)
      member.outstanding.push(outstanding)
      if (known !== 'before' && known.seq === 0) known.waiting.push({ connection, outstanding })
      else {
        outstanding.state = 'durable'
        outstanding.seq = known === 'before' ? 0 : known.seq
        this.acknowledge(member)
      }
      return
    }
    if (header.epoch < room.keyEpoch) return nack(409)
    const isFull =
      room.pendingBytes + envelope.length > Math.max(limits.roomPendingBytes, envelope.length) ||
      roomLog.pendingBytes > limits.nodePendingBytes
    if (isFull) return nack(503, 1000)
    // Members were asked for a snapshot long ago. Once there is one, this passes.
    if (room.tailBytes + envelope.length > limits.unfoldedBytes) return nack(429, 10_000)
    member.outstanding.push(outstanding)
    member.saidAt = performance.now()
    roomLog.append(room, {
      ...header,
      bytes: envelope,
      author: connection,
      at: Date.now(),
      seq: 0,
      ref: member.ref,
      chain: undefined,
      waiting: [{ connection, outstanding }],
    })
    hub.owes(connection, 1, envelope.length)
  }

  committed(room: EncryptedRoom, entries: EnvelopeEntry[]) {
    // The first append brought its epoch along; every other one had the epoch that the room had.
    for (const { epoch } of entries) room.keyEpoch = Math.max(room.keyEpoch, epoch)
    this.publishEntries(room, entries)
  }

  arrived(room: EncryptedRoom, entries: EnvelopeEntry[]) {
    this.publishEntries(room, entries)
  }

  /** Everybody gets everything, its author too: there is one order, and nobody has to put it together. */
  private publishEntries(room: EncryptedRoom, entries: EnvelopeEntry[]) {
    for (let i = 0; i < entries.length; ) {
      const first = i
      for (let bytes = 0; i < entries.length && bytes < frameBytes; i++)
        bytes += (entries[i] as EnvelopeEntry).bytes.length
      const part = entries.slice(first, i)
      this.parts.publish(room.topic, encryptedFrames.frames((part[0] as EnvelopeEntry).seq, part))
    }
    const members = new Set<Member>()
    for (const entry of entries) {
      for (const { connection, outstanding } of entry.waiting) {
        outstanding.state = 'durable'
        outstanding.seq = entry.seq
        const member = room.members.get(connection)
        if (member) members.add(member)
      }
      entry.waiting = []
      this.released(entry)
    }
    for (const member of members) this.acknowledge(member)
    this.parts.hub.resumeRoom(asRoom(room))
  }

  private released(entry: EnvelopeEntry) {
    const { author } = entry
    if (!author) return
    entry.author = undefined
    author.uncommittedFrames--
    author.uncommittedBytes -= entry.bytes.length
  }

  /** Everything up to what is still open is answered: the highest number of it says so for all. */
  private acknowledge(member: Member) {
    let highest: Outstanding | undefined
    while (member.outstanding[0] && member.outstanding[0].state !== 'open') {
      const done = member.outstanding.shift() as Outstanding
      if (done.state === 'durable') highest = done
    }
    if (highest) sendTo(member.connection, encryptedFrames.ack(highest.cseq, highest.seq))
  }

  looked(room: EncryptedRoom, state: RoomState) {
    const isTheSame = state.head !== room.head || !state.chain || Buffer.compare(state.chain, room.chain) === 0
    if (!isTheSame && !room.damaged) {
      this.parts.log.error({ room: room.id }, 'a log is not the one that was written: nobody writes to it any more')
      room.damaged = true
    }
    if (room.keyParams === undefined && state.keyParams) this.setKeyParams(room, state.keyParams)
    if (state.keyEpoch > room.keyEpoch) {
      room.keyEpoch = state.keyEpoch
      const record = room.tail.findLast(({ seq, kind }) => seq > 0 && kind === envelopeKinds.keyRecord)
      this.parts.publish(room.topic, encryptedFrames.epoch(room.keyEpoch, record?.seq ?? 0))
      this.refuse(room, ({ epoch }) => epoch < room.keyEpoch)
    }
    if (state.snapshotSeq !== (room.snapshot?.seq ?? 0)) void this.snapshots.follow(room)
  }

  refused(room: EncryptedRoom) {
    // It was not the numbers then, or not only: what was read is the truth about the epoch at this moment.
    this.refuse(room, ({ epoch }) => epoch !== room.keyEpoch)
  }

  /** Gives back what cannot be stored any more: its author has to seal it anew. */
  private refuse(room: EncryptedRoom, which: (entry: EnvelopeEntry) => boolean) {
    const refused = room.tail.slice(room.committed).filter(which)
    this.parts.roomLog.discard(asRoom(room), () => {
      for (const entry of refused) room.discard(entry)
    })
    for (const entry of refused) {
      for (const { connection, outstanding } of entry.waiting) {
        outstanding.state = 'refused'
        sendTo(connection, encryptedFrames.nack(outstanding.cseq, 409))
        const member = room.members.get(connection)
        if (member) this.acknowledge(member)
      }
      this.released(entry)
    }
    if (refused.length > 0) this.parts.hub.resumeRoom(asRoom(room))
  }

  // Beside the log

  private relay(member: Member, room: EncryptedRoom, envelope: Uint8Array) {
    const { connection } = member
    const { limits } = this.parts
    if (envelope.length > limits.ephemeralBytes) throw new MalformedUpdate('an ephemeral envelope is too large')
    if (readEnvelope(envelope).kind !== envelopeKinds.ephemeral) throw new MalformedUpdate('not an ephemeral envelope')
    const now = performance.now()
    const perSecond = limits.awarenessPerSecond
    connection.presence ??= new Bucket(perSecond, now)
    if (connection.presence.take(1, perSecond, perSecond, now) > 0) {
      // Too often: this one is dropped, and costs nothing of what comes later.
      connection.presence.take(-1, perSecond, perSecond, now)
      return
    }
    const frame = encryptedFrames.ephemeral(member.ref, envelope)
    countSyncFrames('out', room.connections.size - 1, frame.length)
    connection.socket?.publish(ephemeralTopic(room), frame)
    this.parts.tell?.(asRoom(room), Buffer.concat([Uint8Array.of(nodeMessages.ephemeral), frame]))
  }

  private fetch(member: Member, room: EncryptedRoom, from: number, to: number) {
    if (++member.fetches > fetchesAtMost)
      return this.parts.hub.close(member.connection, 'rate_limited', JSON.stringify({ retryAfterMs: 5000 }))
    member.fetching = member.fetching
      .then(() => this.answerFetch(member, room, Math.max(1, from), Math.min(to, room.head)))
      .catch((error) => {
        this.parts.log.warn({ err: error, room: room.id }, 'a part of a log could not be read')
        this.fail(member.connection)
      })
      .finally(() => member.fetches--)
  }

  private async answerFetch(member: Member, room: EncryptedRoom, from: number, to: number): Promise<void> {
    const { connection } = member
    let next = from
    if (room.id !== undefined && to >= from) {
      const { entries } = await readEntries(this.parts.sql, room.id, from - 1, to, fetchBytes)
      let bytes = 0
      for (let i = 0; i < entries.length && bytes < fetchBytes; ) {
        const first = i
        let size = 0
        for (; i < entries.length && size < frameBytes; i++) size += entries[i]?.bytes.length ?? 0
        bytes += size
        await this.writable(member)
        if (connection.state !== 'live') return
        const part = entries.slice(first, i)
        connection.socket?.send(
          encryptedFrames.frames(
            next,
            part.map((entry) => ({ ...entry, ref: 0 })),
          ),
        )
        next += part.length
      }
    }
    sendTo(connection, encryptedFrames.frames(next, []))
  }

  private deliverSnapshot(member: Member, room: EncryptedRoom, seq: number) {
    const { connection } = member
    if (++member.fetches > fetchesAtMost)
      return this.parts.hub.close(connection, 'rate_limited', JSON.stringify({ retryAfterMs: 5000 }))
    member.fetching = member.fetching
      .then(async () => {
        const chunks = room.id === undefined ? undefined : await this.snapshots.chunksOf(room.id, seq)
        if (!chunks) return sendTo(connection, encryptedFrames.snapshotRefused(seq, 404))
        await this.sendChunks(member, room, seq, chunks, () => connection.state === 'live')
      })
      .catch((error) => {
        this.parts.log.warn({ err: error, room: room.id }, 'a snapshot could not be read')
        this.fail(connection)
      })
      .finally(() => member.fetches--)
  }

  private async takeKeyParams(member: Member, room: EncryptedRoom, bytes: Uint8Array): Promise<void> {
    const { connection } = member
    if (room.keyParams) return sendTo(connection, encryptedFrames.keyParams(room.keyParams))
    if (connection.access !== 'write') return sendTo(connection, encryptedFrames.nack(0, 403))
    try {
      const written = await writeKeyParams(this.parts.sql, room, bytes)
      if (!written) return this.parts.hub.close(connection, 'room_deleted', 'the document was deleted')
      if (room.keyParams === undefined) this.setKeyParams(room, written)
      else sendTo(connection, encryptedFrames.keyParams(room.keyParams))
      if (room.id === undefined) await this.parts.roomLog.catchUp(asRoom(room))
    } catch (error) {
      if (error instanceof WrongRoomKind)
        return this.parts.hub.close(connection, 'wrong_protocol', 'this document is of another kind')
      this.parts.log.warn({ err: error }, 'key parameters could not be stored')
      this.fail(connection)
    }
  }

  private setKeyParams(room: EncryptedRoom, bytes: Uint8Array) {
    room.keyParams = bytes
    const frame = encryptedFrames.keyParams(bytes)
    for (const { connection } of room.members.values()) sendTo(connection, frame)
  }

  // Time

  everySecond(room: EncryptedRoom, _seconds: number, now: number) {
    for (const member of room.members.values()) {
      const { connection } = member
      if (!connection.subscribed) continue
      const lags = (connection.socket?.getBufferedAmount() ?? 0) > bufferedAtMost
      if (lags && member.hearsEphemeral) {
        member.hearsEphemeral = false
        connection.socket?.unsubscribe(ephemeralTopic(room))
      } else if (!lags && !member.hearsEphemeral) this.hearEphemeral(member, room)
    }
    this.snapshots.everySecond(room, now)
    this.trim(room)
  }

  /** What the snapshot contains leaves memory, once nobody is being sent it. */
  private trim(room: EncryptedRoom) {
    let upTo = room.snapshot?.seq ?? 0
    if (upTo <= room.baseSeq || room.uploading > 0) return
    for (const { connection, next } of room.members.values()) if (connection.serving) upTo = Math.min(upTo, next - 1)
    room.trim(upTo)
    room.snapshotSeq = room.snapshot?.seq ?? 0
  }

  mayForget(room: EncryptedRoom, now: number): boolean {
    return !room.hasUncommitted && room.uploading === 0 && !room.syncing && now - room.emptySince >= coldAfterMs
  }

  forget(room: EncryptedRoom) {
    clearTimeout(room.rosterTimer)
  }

  stop() {}
}

const nodeMessages = { ephemeral: 1, roster: 2 } as const

function nodeMessage(type: 'roster', entries: readonly RosterEntry[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(nodeMessages[type]), Buffer.from(JSON.stringify(entries))])
}

/** Names a connection to its peers, on every node: by chance, so that nodes need not agree. */
const newRef = () => 1 + Math.floor(Math.random() * 2 ** 40)

/** Who handles any room takes this one too, and hands it back to us. */
const asRoom = (room: EncryptedRoom) => room as unknown as Room

function rosterEntry({ ref, connection }: Member, joined: boolean): RosterEntry {
  return { joined, ref, principal: connection.principal.userId ?? '', access: connection.access }
}

function headerOf(envelope: Uint8Array): EnvelopeHeader | undefined {
  try {
    return readEnvelope(envelope)
  } catch (error) {
    if (error instanceof MalformedUpdate) return undefined
    throw error
  }
}
