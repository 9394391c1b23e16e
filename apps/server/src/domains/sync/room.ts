import { AwarenessTable } from './awareness.ts'
import { ClockRanges } from './clock-ranges.ts'
import type { Connection } from './connection.ts'
import { updateFrame } from './protocol.ts'
import type { StoredRoom } from './store.ts'
import { type ClockRange, walkUpdate } from './walk-update.ts'

/** One update of a room's log. */
export type Entry = {
  update: Uint8Array
  /** The update as it is sent, encoded once. */
  frame: Uint8Array
  ranges: readonly ClockRange[]
  /** Who gets it back once it is durable; undefined for what was loaded. */
  author: Connection | undefined
  at: number
  /** Repeats what somebody else wrote and what is not durable yet: given to others only once it is. */
  isDeferred: boolean
  /** Of a SyncStep2: known again when a client repeats it after a reconnect. */
  digest: string | undefined
  /** Its number in the database; 0 until it is committed. */
  seq: number
}

/** A document as bytes: a snapshot and the updates behind it. No Y.Doc is ever opened here. */
export class Room {
  readonly instanceId: string
  readonly key: string
  readonly topic: string
  id: number | undefined

  snapshot: Uint8Array | undefined
  snapshotFrame: Uint8Array | undefined
  snapshotSeq = 0
  /** Grows with each new snapshot: what was computed from another one is void. */
  snapshotVersion = 0
  tail: Entry[] = []
  tailBytes = 0
  /** Position of `tail[0]` in this process's count of updates. */
  base = 0
  /** How many entries of the tail are committed: always the first ones. */
  committed = 0
  pendingBytes = 0

  /** Everything received, and the part of it that is committed. Only the latter is promised to anybody. */
  readonly held = new ClockRanges()
  readonly durable = new ClockRanges()

  readonly awareness = new AwarenessTable<Connection>()
  awarenessTimer: ReturnType<typeof setTimeout> | undefined
  readonly connections = new Set<Connection>()
  /** Diffs by state vector: after a crash every client presents the same one. */
  readonly diffs = new Map<string, Promise<Uint8Array | undefined>>()
  /** Updates that were not durable when a connection joined: it gets them once they are. */
  owed: { connection: Connection; from: number; to: number }[] = []
  /** Sync statuses to answer once everything up to a position is durable. */
  statuses: { position: number; connection: Connection; frame: Uint8Array }[] = []

  /** Digests of durable SyncStep2 messages. Each repeats all deletions of the document, on every reconnect. */
  readonly knownSteps = new Set<string>()

  damaged: boolean
  deleted = false
  compacting = false
  /** Not before this size is compaction tried again after it failed. */
  compactAbove = 0
  emptySince = 0

  constructor(instanceId: string, key: string, stored: StoredRoom, now: number) {
    this.instanceId = instanceId
    this.key = key
    this.topic = `room:${instanceId}:${key}`
    this.id = stored.id
    this.damaged = stored.damaged
    this.emptySince = now
    this.snapshotSeq = stored.snapshotSeq
    if (stored.snapshot) {
      this.setSnapshot(stored.snapshot, stored.snapshotSeq)
      this.hold(walkUpdate(stored.snapshot).ranges)
    }
    for (const { seq, bytes } of stored.tail) {
      const { ranges } = walkUpdate(bytes)
      this.hold(ranges)
      this.tail.push({
        update: bytes,
        frame: updateFrame(bytes),
        ranges,
        author: undefined,
        at: now,
        isDeferred: false,
        digest: undefined,
        seq,
      })
      this.tailBytes += bytes.length
    }
    this.committed = this.tail.length
  }

  private hold(ranges: readonly ClockRange[]) {
    this.held.addAll(ranges)
    this.durable.addAll(ranges)
  }

  get bytes(): number {
    return (this.snapshot?.length ?? 0) + this.tailBytes
  }

  /** Position behind the last update. */
  get end(): number {
    return this.base + this.tail.length
  }

  append(entry: Entry): void {
    this.tail.push(entry)
    this.tailBytes += entry.update.length
    this.pendingBytes += entry.update.length
    this.held.addAll(entry.ranges)
  }

  /** The updates that are not committed yet, at most `bytes` of them (but at least one). */
  uncommitted(bytes: number): Entry[] {
    const entries: Entry[] = []
    let size = 0
    for (let i = this.committed; i < this.tail.length; i++) {
      const entry = this.tail[i] as Entry
      if (entries.length > 0 && size + entry.update.length > bytes) break
      entries.push(entry)
      size += entry.update.length
    }
    return entries
  }

  /** The oldest `n` uncommitted updates are durable now; `lastSeq` is the number of the last of them. */
  commit(n: number, lastSeq: number): Entry[] {
    const entries = this.tail.slice(this.committed, this.committed + n)
    entries.forEach((entry, i) => {
      entry.seq = lastSeq - n + 1 + i
      this.pendingBytes -= entry.update.length
      this.durable.addAll(entry.ranges)
      if (entry.digest) this.remember(entry.digest)
    })
    this.committed += n
    return entries
  }

  private remember(digest: string) {
    if (this.knownSteps.size >= 1000) this.knownSteps.delete(this.knownSteps.values().next().value as string)
    this.knownSteps.add(digest)
  }

  /** Puts a snapshot in the place of the first `n` updates, which it contains. */
  replace(n: number, snapshot: Uint8Array, seq: number): void {
    for (const entry of this.tail.splice(0, n)) this.tailBytes -= entry.update.length
    this.base += n
    this.committed -= n
    this.setSnapshot(snapshot, seq)
  }

  private setSnapshot(snapshot: Uint8Array, seq: number) {
    this.snapshot = snapshot
    this.snapshotFrame = updateFrame(snapshot)
    this.snapshotSeq = seq
    this.snapshotVersion++
    this.diffs.clear()
  }
}
