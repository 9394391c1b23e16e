import type { Connection } from './connection.ts'
import { type EncryptedMessage, encryptedFrames, protocolVersion } from './encrypted-frames.ts'
import type { Presences } from './encrypted-presence.ts'
import { asRoom, type EncryptedRoom, type EnvelopeEntry, frameBytes, type Member } from './encrypted-room.ts'
import { countChunks, readChunk, readEntries } from './encrypted-store.ts'
import type { EngineParts } from './engine.ts'
import { bufferedAtMost, ephemeralTopic, sendDeferred, sendTo } from './serve-state.ts'

/** An answer to FETCH is at most so long, and so many may wait. */
const fetchBytes = 4 * 1024 * 1024
const fetchesAtMost = 8

type Hello = Extract<EncryptedMessage, { type: 'hello' }>

/** Hands out what is stored, as fast as each socket takes it. */
export class Deliveries {
  private readonly parts: EngineParts
  private readonly presences: Presences

  constructor(parts: EngineParts, presences: Presences) {
    this.parts = parts
    this.presences = presences
  }

  /** Sends a client what it lacks, and then everything as it comes. */
  begin(member: Member, room: EncryptedRoom, hello: Hello) {
    const { connection } = member
    if (hello.version !== protocolVersion)
      return this.parts.hub.close(connection, 'wrong_protocol', `version ${protocolVersion} is spoken here`)
    const isFirst = member.delivery === undefined
    member.makesSnapshots = hello.makesSnapshots
    const delivery = {}
    member.delivery = delivery
    if (connection.subscribed) this.unsubscribe(connection, room)
    connection.serving = true
    if (isFirst) this.presences.announce(room, member, true)
    // It may have been on another node and know more than this one: that is not a log that went back.
    const known = hello.lastSeq > room.head ? this.parts.roomLog.catchUp(asRoom(room)) : undefined
    const deliver = () => this.deliver(member, room, hello, delivery)
    if (known) known.then(deliver, () => this.fail(connection))
    else deliver()
  }

  private fail(connection: Connection) {
    this.parts.hub.close(connection, 'storage_unavailable', 'the document cannot be read now')
  }

  private async deliver(member: Member, room: EncryptedRoom, hello: Hello, delivery: object): Promise<void> {
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
    this.presences.hear(member, room)
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

  private unsubscribe(connection: Connection, room: EncryptedRoom) {
    connection.subscribed = false
    connection.socket?.unsubscribe(room.topic)
    connection.socket?.unsubscribe(ephemeralTopic(room))
  }

  /** A part of the log, however old it is. */
  fetch(member: Member, room: EncryptedRoom, from: number, to: number) {
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

  /** A snapshot that is kept, also one before the live one. */
  sendSnapshot(member: Member, room: EncryptedRoom, seq: number) {
    const { connection } = member
    if (++member.fetches > fetchesAtMost)
      return this.parts.hub.close(connection, 'rate_limited', JSON.stringify({ retryAfterMs: 5000 }))
    member.fetching = member.fetching
      .then(async () => {
        const chunks = room.id === undefined ? undefined : await countChunks(this.parts.sql, room.id, seq)
        if (!chunks) return sendTo(connection, encryptedFrames.snapshotRefused(seq, 404))
        await this.sendChunks(member, room, seq, chunks, () => connection.state === 'live')
      })
      .catch((error) => {
        this.parts.log.warn({ err: error, room: room.id }, 'a snapshot could not be read')
        this.fail(connection)
      })
      .finally(() => member.fetches--)
  }
}
