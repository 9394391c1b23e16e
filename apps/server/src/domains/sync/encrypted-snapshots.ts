import { createHash, type Hash, randomInt } from 'node:crypto'
import type { Connection } from './connection.ts'
import { encryptedFrames, type SnapshotMessage, type SnapshotOffer, type SnapshotRefusal } from './encrypted-frames.ts'
import type { EncryptedRoom, Member } from './encrypted-room.ts'
import {
  abandonSnapshot,
  beginSnapshot,
  commitSnapshot,
  condemnSnapshot,
  confirmSnapshot,
  readEntries,
  readSnapshotMeta,
  writeChunk,
} from './encrypted-store.ts'
import type { EngineParts } from './engine.ts'
import { envelopeKinds, readEnvelope, startChain } from './envelope.ts'
import { Buckets } from './limits.ts'
import { sendTo } from './serve-state.ts'
import { MalformedUpdate } from './walk-update.ts'

/** From so much behind the snapshot on a new one is wanted. */
const wantedFromFrames = 500
const wantedFromBytes = 1024 * 1024
const leaseMs = 30_000
const chunksAtMost = 4096
/** What of a snapshot each byte and each entry that it folds anew pays for, and what of the first one is free. */
const bytesForByte = 8
const bytesForEntry = 4096
const bytesFree = 1024 * 1024
/** Snapshots that one person may call bad: five at once, one more every two minutes. */
const condemnationsAtOnce = 5
const condemnationsPerSecond = 1 / 120

type Upload = {
  room: EncryptedRoom
  offer: SnapshotOffer
  chunks: number
  bytes: number
  hash: Hash
  /** Writes that are under way, one after the other. */
  work: Promise<void>
  /** The server asked for it. */
  isAsked: boolean
  /** It is whole, and being made the live one. */
  isCommitting: boolean
  failed: boolean
}

/**
 * Snapshots that members make: the server cannot fold a log that it cannot read. One becomes what newcomers start from,
 * and is believed only until somebody says that it cannot be opened.
 */
export class Snapshots {
  private readonly parts: EngineParts
  private readonly uploads = new Map<Connection, Upload>()
  private readonly condemnations = new Buckets(condemnationsPerSecond, condemnationsAtOnce)

  constructor(parts: EngineParts) {
    this.parts = parts
  }

  isUploading(connection: Connection): boolean {
    return this.uploads.has(connection)
  }

  receive(connection: Connection, room: EncryptedRoom, message: SnapshotMessage) {
    if (connection.access !== 'write') return this.refuse(connection, message.seq, 403)
    switch (message.type) {
      case 'offer':
        return this.offer(connection, room, message)
      case 'chunk':
        return this.takeChunk(connection, message.seq, message.n, message.envelope)
      case 'commit':
        return this.commit(connection, message.seq)
      case 'ok':
        return void this.judge(connection, room, message.seq, true)
      case 'bad':
        return void this.judge(connection, room, message.seq, false)
    }
  }

  private refuse(connection: Connection, seq: number, code: SnapshotRefusal) {
    sendTo(connection, encryptedFrames.snapshotRefused(seq, code))
  }

  private offer(connection: Connection, room: EncryptedRoom, offer: SnapshotOffer & { lease: number }) {
    const { seq, epoch, size, chunks, chain } = offer
    const { limits } = this.parts
    if (this.uploads.has(connection)) return this.refuse(connection, seq, 409)
    if (size > limits.snapshotBytes || chunks > chunksAtMost) return this.refuse(connection, seq, 413)
    if (size === 0 || chunks === 0 || chunks > size) return this.refuse(connection, seq, 422)
    const here = room.chainAt(seq)
    const isOfThisLog = here !== undefined && Buffer.compare(here, chain) === 0
    if (room.id === undefined || seq <= (room.snapshot?.seq ?? 0) || !isOfThisLog || epoch !== room.keyEpoch)
      return this.refuse(connection, seq, 409)
    const isAsked = offer.lease !== 0
    const asked = this.askedOf(room)
    if (isAsked && (asked?.id !== offer.lease || asked.member.connection !== connection))
      return this.refuse(connection, seq, 409)
    // Nobody else comes before who was asked, and of the others one at a time.
    if (!isAsked && (asked || this.uploadsOf(room).length > 0)) return this.refuse(connection, seq, 409)
    if (size > this.allowance(room, seq)) return this.refuse(connection, seq, 429)
    const upload: Upload = {
      room,
      offer: { seq, epoch, size, chunks, chain: chain.slice(), sha256: offer.sha256.slice() },
      chunks: 0,
      bytes: 0,
      hash: createHash('sha256'),
      work: Promise.resolve(),
      isAsked,
      isCommitting: false,
      failed: false,
    }
    this.uploads.set(connection, upload)
    room.uploading++
    this.run(connection, upload, async () => {
      const begun = await beginSnapshot(this.parts.sql, roomOf(upload), upload.offer, authorOf(connection))
      if (begun) sendTo(connection, encryptedFrames.snapshotAccepted(seq))
      else this.end(connection, 409)
    })
  }

  private takeChunk(connection: Connection, seq: number, n: number, envelope: Uint8Array) {
    const upload = this.uploads.get(connection)
    // What was sent before a refusal arrived.
    if (upload?.offer.seq !== seq || upload.failed || upload.isCommitting) return
    const { limits, hub } = this.parts
    const { kind, epoch } = headerOf(envelope)
    upload.bytes += envelope.length
    const fits =
      n === upload.chunks &&
      n < upload.offer.chunks &&
      upload.bytes <= upload.offer.size &&
      envelope.length <= limits.snapshotChunkBytes &&
      kind === envelopeKinds.snapshot &&
      epoch === upload.offer.epoch
    if (!fits) return this.end(connection, 422)
    upload.chunks++
    upload.hash.update(envelope)
    hub.owes(connection, 1, envelope.length)
    this.run(connection, upload, async () => {
      try {
        await writeChunk(this.parts.sql, roomOf(upload), seq, n, envelope)
      } finally {
        connection.uncommittedFrames--
        connection.uncommittedBytes -= envelope.length
      }
    })
  }

  private commit(connection: Connection, seq: number) {
    const upload = this.uploads.get(connection)
    if (upload?.offer.seq !== seq || upload.failed) return this.refuse(connection, seq, 404)
    // Said twice: the answer to the first is on its way, and a hash gives its digest once.
    if (upload.isCommitting) return
    upload.isCommitting = true
    const { offer, chunks, bytes, hash, room } = upload
    if (chunks !== offer.chunks || bytes !== offer.size || !hash.digest().equals(offer.sha256))
      return this.end(connection, 422)
    // Another one may have become the live one meanwhile.
    if (bytes > this.allowance(room, seq)) return this.end(connection, 429)
    this.run(connection, upload, async () => {
      const senders = room.sendersUpTo(seq)
      if (!(await commitSnapshot(this.parts.sql, room.id as number, offer, senders))) return this.end(connection, 409)
      this.uploads.delete(connection)
      room.uploading--
      room.lease = undefined
      if (seq > (room.snapshot?.seq ?? 0))
        room.snapshot = { ...offer, author: authorOf(connection), isConfirmed: false }
      this.parts.publish(room.topic, encryptedFrames.snapshotLive(offer))
    })
  }

  /** Work for an upload, in its order. When it fails the upload is over, and whoever makes it is told. */
  private run(connection: Connection, upload: Upload, work: () => Promise<unknown>) {
    upload.work = upload.work.then(async () => {
      if (upload.failed) return
      try {
        await work()
      } catch (error) {
        this.parts.log.warn({ err: error, room: upload.room.id }, 'a snapshot could not be stored')
        this.end(connection, 503)
      }
    })
  }

  private end(connection: Connection, code?: SnapshotRefusal) {
    const upload = this.uploads.get(connection)
    if (!upload) return
    upload.failed = true
    this.uploads.delete(connection)
    upload.room.uploading--
    const { seq } = upload.offer
    if (code) this.refuse(connection, seq, code)
    // Not what somebody else is building under the same number.
    if (code === 409) return
    upload.work = upload.work
      .then(() => abandonSnapshot(this.parts.sql, upload.room.id as number, seq))
      .catch((error) => this.parts.log.warn({ err: error }, 'a part of a snapshot was left behind'))
  }

  left(connection: Connection, _room: EncryptedRoom) {
    this.end(connection)
  }

  private async judge(connection: Connection, room: EncryptedRoom, seq: number, isGood: boolean): Promise<void> {
    const { sql, log } = this.parts
    if (room.id === undefined) return this.refuse(connection, seq, 404)
    try {
      if (isGood) {
        const confirmed = await confirmSnapshot(sql, room.id, seq, authorOf(connection))
        if (confirmed && room.snapshot?.seq === seq) room.snapshot.isConfirmed = true
        if (!confirmed) this.refuse(connection, seq, 404)
        return
      }
      const { principal, ip } = connection
      const person = `${principal.instanceId} ${principal.userId ?? ip}`
      // Each makes every node read back what the snapshot contained.
      if (!this.condemnations.take(person, performance.now())) return this.refuse(connection, seq, 429)
      const wasLive = room.snapshot?.seq === seq
      if (!(await condemnSnapshot(sql, room.id, seq))) return this.refuse(connection, seq, 404)
      log.error(
        { room: room.id, seq, by: connection.principal.userId },
        'a member could not open a snapshot: nothing of its document is deleted any more',
      )
      await this.follow(room)
      // Of the live one everybody is told when another takes its place, on every node.
      if (!wasLive) this.parts.publish(room.topic, encryptedFrames.snapshotBad(seq))
    } catch (error) {
      log.warn({ err: error, room: room.id }, 'what a member says about a snapshot could not be stored')
      this.refuse(connection, seq, 503)
    }
  }

  /** Takes over which snapshot the database says is live: a newer one, or an older one if that was condemned. */
  follow(room: EncryptedRoom): Promise<void> {
    room.syncing ??= this.readLive(room)
      .catch((error) => this.parts.log.warn({ err: error, room: room.id }, 'the live snapshot could not be read'))
      .finally(() => {
        room.syncing = undefined
      })
    return room.syncing
  }

  private async readLive(room: EncryptedRoom): Promise<void> {
    const { sql } = this.parts
    const live = await readSnapshotMeta(sql, room.id as number)
    const seq = live?.seq ?? 0
    if (seq > room.head) return
    if (seq < room.baseSeq) {
      const { entries, whole } = await readEntries(sql, room.id as number, seq, room.baseSeq)
      if (!whole || entries.length !== room.baseSeq - seq) throw new Error('what a bad snapshot contained is not whole')
      room.prepend(entries, seq, live?.chain ?? startChain(room.key))
    }
    const before = room.snapshot?.seq ?? 0
    room.snapshot = live
    room.snapshotSeq = seq
    if (live && seq > before) this.parts.publish(room.topic, encryptedFrames.snapshotLive(live))
    if (seq < before) this.parts.publish(room.topic, encryptedFrames.snapshotBad(before))
  }

  // Leases

  /** Who is asked for a snapshot at the moment: until the time is over, or as long as it is being uploaded. */
  private askedOf(room: EncryptedRoom, now = performance.now()): EncryptedRoom['lease'] {
    const { lease } = room
    if (!lease || !room.members.has(lease.member.connection)) return undefined
    return lease.until > now || this.uploads.get(lease.member.connection)?.isAsked ? lease : undefined
  }

  private uploadsOf(room: EncryptedRoom): Upload[] {
    return [...this.uploads.values()].filter((upload) => upload.room === room)
  }

  /**
   * Bytes that a snapshot up to an entry may have. They are paid for by what was written since the live one, so that
   * snapshots fill no disk faster than edits do. A new epoch is worth one more of what is there.
   */
  private allowance(room: EncryptedRoom, seq: number): number {
    const { snapshot: live } = room
    const from = live?.seq ?? 0
    let bytes = 0
    for (let at = Math.max(from, room.baseSeq) + 1; at <= seq; at++) bytes += room.entryAt(at)?.bytes.length ?? 0
    const rotated = live && live.epoch < room.keyEpoch ? 2 * live.size : 0
    return (live ? rotated : bytesFree) + bytesForByte * bytes + bytesForEntry * Math.max(0, seq - from)
  }

  /** Asks one member at a time: whoever has everything, can, and has not been asked for the longest time. */
  everySecond(room: EncryptedRoom, now: number) {
    if (this.askedOf(room, now)) return
    room.lease = undefined
    if (!this.isWanted(room)) return
    let chosen: Member | undefined
    for (const member of room.members.values()) {
      const { connection } = member
      const isReady =
        member.makesSnapshots &&
        connection.access === 'write' &&
        connection.subscribed &&
        connection.uncommittedFrames === 0 &&
        connection.laggingSince === 0
      if (!isReady) continue
      const isBetter =
        !chosen ||
        member.leasedAt < chosen.leasedAt ||
        (member.leasedAt === chosen.leasedAt && member.saidAt < chosen.saidAt)
      if (isBetter) chosen = member
    }
    if (!chosen) return
    chosen.leasedAt = now
    room.lease = { id: randomInt(1, 2 ** 47), member: chosen, until: now + leaseMs }
    sendTo(chosen.connection, encryptedFrames.snapshotWanted(room.lease.id, room.head, leaseMs))
  }

  private isWanted(room: EncryptedRoom): boolean {
    const from = room.snapshot?.seq ?? 0
    const frames = room.head - from
    if (frames === 0 || room.damaged) return false
    if (room.snapshot && this.allowance(room, room.head) < 2 * room.snapshot.size) return false
    if (frames >= wantedFromFrames || (room.snapshot && room.snapshot.epoch < room.keyEpoch)) return true
    let bytes = 0
    for (let i = room.committed - 1; i >= 0; i--) {
      const entry = room.tail[i]
      if (!entry || entry.seq <= from) break
      bytes += entry.bytes.length
    }
    return bytes >= wantedFromBytes
  }
}

const roomOf = ({ room }: Upload) => ({ id: room.id as number, instanceId: room.instanceId })

/** Who makes a snapshot, so that nobody confirms their own. Without users a connection is all that there is. */
function authorOf(connection: Connection): string {
  return connection.principal.userId ?? `connection:${connection.ip}:${connection.openedAt}`
}

function headerOf(envelope: Uint8Array): { kind: number; epoch: number } {
  try {
    return readEnvelope(envelope)
  } catch (error) {
    if (error instanceof MalformedUpdate) return { kind: 0, epoch: 0 }
    throw error
  }
}
