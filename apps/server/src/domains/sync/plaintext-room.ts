import { AwarenessTable } from './awareness.ts'
import { ClockRanges } from './clock-ranges.ts'
import type { Connection } from './connection.ts'
import { Outbox, type Outboxes } from './outbox.ts'
import { emptyUpdateFrame } from './protocol.ts'
import { type Entry, Room } from './room.ts'
import type { Snapshot, StoredEntry, StoredRoom } from './store.ts'
import { type ClockRange, walkUpdate } from './walk-update.ts'

/** One update of a document. */
export type UpdateEntry = Entry & {
  /** The update as it is sent, encoded once. */
  frame: Uint8Array
  ranges: readonly ClockRange[]
  /** Repeats what somebody else wrote and what is not durable yet: given to others only once it is. */
  isDeferred: boolean
  /** Of a SyncStep2: known again when a client repeats it after a reconnect. */
  digest: string | undefined
}

/** A document as bytes: a snapshot and the updates behind it. No Y.Doc is ever opened here. */
export class PlaintextRoom extends Room<UpdateEntry> {
  readonly kind = 'yjs'
  snapshot: Uint8Array | undefined
  snapshotFrame: Uint8Array | undefined
  /** Grows with each new snapshot: what was computed from another one is void. */
  snapshotVersion = 0

  /** Everything received, and the part of it that is committed. Only the latter is promised to anybody. */
  readonly held = new ClockRanges()
  readonly durable = new ClockRanges()

  /** What goes to its sockets: published at once, or in a moment with others. */
  readonly outbox: Outbox
  readonly awareness = new AwarenessTable<Connection>()
  awarenessTimer: ReturnType<typeof setTimeout> | undefined
  /** In which second of the interval of keepalives it has its own. */
  keepaliveAt = 0
  /** Diffs by state vector: after a crash every client presents the same one. */
  readonly diffs = new Map<string, Promise<Uint8Array | undefined>>()
  /** Updates that were not durable when a connection joined: it gets them once they are. */
  owed: { connection: Connection; entries: UpdateEntry[] }[] = []
  /** Sync statuses to answer once everything up to an entry is durable. */
  statuses: { after: UpdateEntry; connection: Connection; frame: Uint8Array }[] = []

  /** Digests of durable SyncStep2 messages. Each repeats all deletions of the document, on every reconnect. */
  readonly knownSteps = new Set<string>()

  compacting = false
  /** Not before this size is compaction tried again after it failed. */
  compactAbove = 0

  constructor(instanceId: string, key: string, stored: StoredRoom, outboxes: Outboxes, now: number) {
    super(instanceId, key, stored, now)
    this.outbox = new Outbox(this, outboxes)
    if (stored.snapshot) {
      this.setSnapshot(stored.snapshot, stored.snapshotSeq)
      const ranges = stored.snapshot.ranges ?? walkUpdate(stored.snapshot.update).ranges
      this.held.addAll(ranges)
      this.durable.addAll(ranges)
    }
    this.insert(stored.tail)
  }

  get bytes(): number {
    return (this.snapshot?.length ?? 0) + this.tailBytes
  }

  protected entryOf({ seq, bytes: update, at }: StoredEntry): UpdateEntry {
    const { ranges } = walkUpdate(update)
    this.held.addAll(ranges)
    const { frame, update: bytes } = emptyUpdateFrame(update.length)
    // What it was read from may be a hundred times as long, and need not stay.
    bytes.set(update)
    return { bytes, frame, ranges, author: undefined, at, isDeferred: false, digest: undefined, seq }
  }

  protected settled(entry: UpdateEntry): void {
    this.durable.addAll(entry.ranges)
    if (!entry.digest) return
    if (this.knownSteps.size >= 1000) this.knownSteps.delete(this.knownSteps.values().next().value as string)
    this.knownSteps.add(entry.digest)
  }

  override append(entry: UpdateEntry): void {
    super.append(entry)
    this.held.addAll(entry.ranges)
  }

  /** Puts a snapshot in the place of the updates that it contains, those up to `seq`. */
  replace(snapshot: Pick<Snapshot, 'frame' | 'update'>, seq: number): void {
    const first = this.tail.findIndex((entry, i) => i >= this.committed || entry.seq > seq)
    this.dropFirst(first < 0 ? this.tail.length : first)
    this.setSnapshot(snapshot, seq)
  }

  private setSnapshot({ frame, update }: Pick<Snapshot, 'frame' | 'update'>, seq: number) {
    this.snapshot = update
    this.snapshotFrame = frame
    this.snapshotSeq = seq
    this.snapshotVersion++
    this.diffs.clear()
  }
}
