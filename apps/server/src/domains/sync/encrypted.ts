import { randomInt } from 'node:crypto'
import type { Connection } from './connection.ts'
import { Deliveries } from './encrypted-delivery.ts'
import { decodeEncryptedFrame, encryptedFrames, type NackCode } from './encrypted-frames.ts'
import { Presences } from './encrypted-presence.ts'
import { asRoom, EncryptedRoom, type EnvelopeEntry, frameBytes, Member, type Outstanding } from './encrypted-room.ts'
import { Snapshots } from './encrypted-snapshots.ts'
import { loadEncryptedRoom, writeKeyParams } from './encrypted-store.ts'
import type { EngineParts } from './engine.ts'
import { type EnvelopeHeader, envelopeKinds, readEnvelope } from './envelope.ts'
import type { RoomKind } from './room-kind.ts'
import { sendTo } from './serve-state.ts'
import { type RoomState, WrongRoomKind } from './store.ts'
import { MalformedUpdate } from './walk-update.ts'

const coldAfterMs = 60_000
/** Far beyond any rotation; the column holds four bytes. */
const lastEpoch = 1_000_000

/** Documents that only their members can read: a log of envelopes, put in order, kept, and handed out as it is. */
export class Encrypted implements RoomKind<EncryptedRoom, EnvelopeEntry> {
  readonly kind = 'e2ee'
  private readonly parts: EngineParts
  private readonly snapshots: Snapshots
  private readonly presences: Presences
  private readonly deliveries: Deliveries

  constructor(parts: EngineParts) {
    this.parts = parts
    this.snapshots = new Snapshots(parts)
    this.presences = new Presences(parts)
    this.deliveries = new Deliveries(parts, this.presences)
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
    if (connection.heard) this.presences.announce(room, member, false)
  }

  accessChanged(connection: Connection, room: EncryptedRoom) {
    const member = room.members.get(connection)
    if (member) this.presences.announce(room, member, true)
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
        return this.deliveries.begin(member, room, message)
      case 'append':
        return this.takeEnvelope(member, room, message.cseq, message.envelope)
      case 'ephemeral':
        return this.presences.relay(member, room, message.envelope)
      case 'fetch':
        return this.deliveries.fetch(member, room, message.from, message.to)
      case 'ping':
        return sendTo(connection, encryptedFrames.pong(message.bytes))
      case 'key_params':
        return void this.takeKeyParams(member, room, message.bytes)
      case 'get':
        return this.deliveries.sendSnapshot(member, room, message.seq)
      default:
        return this.snapshots.receive(connection, room, message)
    }
  }

  drained(connection: Connection, room: EncryptedRoom) {
    this.deliveries.drained(connection, room)
  }

  heard(room: EncryptedRoom, nodeId: string, bytes: Uint8Array) {
    this.presences.heard(room, nodeId, bytes)
  }

  presence(room: EncryptedRoom): Uint8Array | undefined {
    return this.presences.ofThisNode(room)
  }

  nodeGone(room: EncryptedRoom, nodeId: string) {
    this.presences.nodeGone(room, nodeId)
  }

  // The log

  private takeEnvelope(member: Member, room: EncryptedRoom, cseq: number, envelope: Uint8Array) {
    if (cseq <= member.lastCseq) throw new MalformedUpdate('a number that was used already')
    member.lastCseq = cseq
    this.place(member, room, cseq, envelope)
  }

  private place(member: Member, room: EncryptedRoom, cseq: number, envelope: Uint8Array) {
    const { connection } = member
    const { limits, hub, roomLog } = this.parts
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
    if (header.epoch > 0 && room.id === undefined) return void this.findEpoch(member, room, cseq, envelope)
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

  /**
   * An envelope of a later epoch for a room that is not known to be written: only a rotation elsewhere can have brought it
   * there. Who could begin a document in an epoch of their choice would shut out all whose keys begin with the first.
   */
  private async findEpoch(member: Member, room: EncryptedRoom, cseq: number, envelope: Uint8Array): Promise<void> {
    const nack = (code: NackCode, retryAfterMs = 0) =>
      sendTo(member.connection, encryptedFrames.nack(cseq, code, retryAfterMs))
    try {
      await this.parts.roomLog.catchUp(asRoom(room))
    } catch {
      return nack(503, 1000)
    }
    if (room.gone || room.members.get(member.connection) !== member) return
    if (room.id === undefined) return nack(409)
    this.place(member, room, cseq, envelope)
  }

  committed(room: EncryptedRoom, entries: EnvelopeEntry[]) {
    // A room's epoch may have moved on another node: then the append that fitted it says so.
    for (const { epoch } of entries) room.keyEpoch = Math.max(room.keyEpoch, epoch)
    this.publishEntries(room, entries)
  }

  arrived(room: EncryptedRoom, entries: EnvelopeEntry[]) {
    this.publishEntries(room, entries)
    // Something else was stored under its number meanwhile: its author has to seal it anew.
    if (room.hasUncommitted) this.refuse(room, (entry) => room.find(entry.session, entry.counter) !== entry)
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
      this.parts.hub.close(connection, 'storage_unavailable', 'the document cannot be written now')
    }
  }

  private setKeyParams(room: EncryptedRoom, bytes: Uint8Array) {
    room.keyParams = bytes
    const frame = encryptedFrames.keyParams(bytes)
    for (const { connection } of room.members.values()) sendTo(connection, frame)
  }

  // Time

  everySecond(room: EncryptedRoom, _seconds: number, now: number) {
    this.presences.watch(room)
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

/** Names a connection to its peers, on every node: by chance, so that nodes need not agree. */
const newRef = () => randomInt(1, 2 ** 40)

function headerOf(envelope: Uint8Array): EnvelopeHeader | undefined {
  try {
    return readEnvelope(envelope)
  } catch (error) {
    if (error instanceof MalformedUpdate) return undefined
    throw error
  }
}
