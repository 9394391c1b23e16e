import type { Connection } from './connection.ts'
import type { Expectation, RoomKindName, StoredEntry } from './store.ts'

/** One entry of a room's log. */
export type Entry = {
  /** As it is stored. */
  bytes: Uint8Array
  /** Who is told once it is durable; undefined for what was loaded, or written through another node. */
  author: Connection | undefined
  /** Milliseconds since 1970. */
  at: number
  /** Its number in the database; 0 until it is committed. */
  seq: number
}

/**
 * A room in memory: the end of its log and who is in it. The log is one list: first what is committed, in the order of
 * its numbers, then what this node still has to commit.
 */
export abstract class Room<E extends Entry = Entry> {
  abstract readonly kind: RoomKindName
  readonly instanceId: string
  readonly key: string
  readonly topic: string
  /** Undefined: it has never been written to. */
  id: number | undefined
  /** Which log this is: another one after a log was lost. Undefined like `id`. */
  incarnation: string | undefined

  /** Number of the last committed entry that is known here. Another node may have written more. */
  head: number
  snapshotSeq: number
  tail: E[] = []
  tailBytes = 0
  /** Position of `tail[0]` in this process's count of entries. */
  base = 0
  /** How many entries of the tail are committed: always the first ones. */
  committed = 0
  pendingBytes = 0

  readonly connections = new Set<Connection>()
  damaged: boolean
  deleted: boolean
  /** No longer in use: whoever comes next opens the room anew. */
  gone = false
  emptySince: number

  /** The append that is under way. What it writes must not be read as somebody else's meanwhile. */
  flushing: Promise<void> | undefined
  /** The look at what others wrote that is under way. Nothing is appended meanwhile. */
  catching: Promise<void> | undefined
  /** Something is known to be new since that look began. */
  behind = false

  constructor(
    instanceId: string,
    key: string,
    stored: {
      id: number | undefined
      incarnation: string | undefined
      snapshotSeq: number
      damaged: boolean
      deleted: boolean
    },
    now: number,
  ) {
    this.instanceId = instanceId
    this.key = key
    this.topic = `room:${instanceId}:${key}`
    this.id = stored.id
    this.incarnation = stored.incarnation
    this.snapshotSeq = stored.snapshotSeq
    this.head = stored.snapshotSeq
    this.damaged = stored.damaged
    this.deleted = stored.deleted
    this.emptySince = now
  }

  /** Bytes that it takes in memory, or would take as a document. */
  abstract get bytes(): number

  /** An entry as this kind of room holds it, of what another one wrote or what was loaded. */
  protected abstract entryOf(stored: StoredEntry): E
  /** What must be true of the room for these entries to be appended; undefined: nothing. */
  expectation(_entries: readonly E[]): Expectation | undefined {
    return undefined
  }

  /** An entry is durable now, whoever wrote it. */
  protected abstract settled(entry: E): void

  append(entry: E): void {
    this.tail.push(entry)
    this.tailBytes += entry.bytes.length
    this.pendingBytes += entry.bytes.length
  }

  /** The entries that are not committed yet, at most `bytes` of them (but at least one). */
  uncommitted(bytes: number): E[] {
    const entries: E[] = []
    let size = 0
    for (let i = this.committed; i < this.tail.length; i++) {
      const entry = this.tail[i] as E
      if (entries.length > 0 && size + entry.bytes.length > bytes) break
      entries.push(entry)
      size += entry.bytes.length
    }
    return entries
  }

  get hasUncommitted(): boolean {
    return this.committed < this.tail.length
  }

  /** The oldest `n` uncommitted entries are durable now; `lastSeq` is the number of the last of them. */
  commit(n: number, lastSeq: number): E[] {
    const entries = this.tail.slice(this.committed, this.committed + n)
    let seq = lastSeq - n
    for (const entry of entries) {
      entry.seq = ++seq
      this.pendingBytes -= entry.bytes.length
      this.settled(entry)
    }
    this.committed += n
    this.head = lastSeq
    return entries
  }

  /** Takes in what others wrote behind `head`, before anything that is not committed. */
  insert(stored: readonly StoredEntry[]): E[] {
    const entries = stored.filter(({ seq }) => seq > this.head).map((one) => this.entryOf(one))
    this.tail.splice(this.committed, 0, ...entries)
    this.committed += entries.length
    for (const entry of entries) {
      this.tailBytes += entry.bytes.length
      this.head = entry.seq
      this.settled(entry)
    }
    return entries
  }

  /** Forgets the first `n` entries: a snapshot contains them. */
  protected dropFirst(n: number): void {
    for (const entry of this.tail.splice(0, n)) this.tailBytes -= entry.bytes.length
    this.base += n
    this.committed -= n
  }
}
