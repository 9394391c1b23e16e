import type { SQL } from 'bun'
import type { Log } from '../../kernel/log.ts'
import type { CloseReason } from './close-codes.ts'
import { type Batch, Lanes } from './lanes.ts'
import type { Entry, Room } from './room.ts'
import { decodeSegment, encodeSegment } from './segment.ts'
import { appendSegments, createRoom, type RoomState, readNews, type StoredEntry } from './store.ts'

/** What one append of a room wrote: entries `prevSeq + 1` to `lastSeq`. */
export type Segment = {
  prevSeq: number
  lastSeq: number
  payload: Uint8Array
  crc: number
  /** Milliseconds since 1970 of its first entry. */
  at: number
}

/** What the database has of a room in the place of what was committed: less of its log, no room, or another log. */
export type Rewound = 'less' | 'nothing' | 'another log'

type Handlers = {
  /** Entries of this node are durable. */
  committed: (room: Room, entries: Entry[]) => void
  /** What others wrote is here; it is durable. */
  arrived: (room: Room, entries: Entry[]) => void
  looked: (room: Room, state: RoomState) => void
  /** The append was refused, and it is known now what others wrote before. */
  refused: (room: Room) => void
  /** The database has not what this node has seen committed. Nothing is appended to the room any more. */
  rewound: (room: Room, found: Rewound) => void
  /** The room cannot go on as it is in memory. */
  gone: (room: Room, reason: CloseReason, message: string) => void
}

type Options = {
  sql: SQL
  connect: (max: number) => SQL
  log: Log
  /** Connections to write through; one is enough as long as the database is quick. */
  lanes: number
  handlers: Handlers
}

/**
 * The logs of all rooms: appends through lanes, and reads what other writers (another node, a rotation of keys) have
 * appended in between. PostgreSQL gives out the numbers; every node sees them in one order.
 */
export class RoomLog {
  /** Bytes of all rooms that wait for the database. */
  pendingBytes = 0
  /** Told of each segment that this node committed: whoever tells the other nodes. */
  onAppended: ((room: Room, segment: Segment) => void) | undefined

  private stopped = false
  private readonly lanes: Lanes
  private readonly drivers: SQL[]
  private readonly sql: SQL
  private readonly log: Log
  private readonly handlers: Handlers

  constructor({ sql, connect, log, lanes, handlers }: Options) {
    this.sql = sql
    this.log = log
    this.handlers = handlers
    this.drivers = Array.from({ length: lanes }, () => connect(1))
    this.lanes = new Lanes(this.drivers, (sql, batch) => this.store(sql, batch), log)
  }

  /** Adds an entry to the room, to be committed with what else waits. */
  append<E extends Entry>(room: Room<E>, entry: E): void {
    room.append(entry)
    this.pendingBytes += entry.bytes.length
    this.lanes.add(room as unknown as Room)
  }

  /**
   * Reads what others wrote since our head and hands it on, in the order of its numbers and before anything of ours that
   * is not committed. Cheap to ask for often: there is one look at a time, and one more if asked meanwhile.
   */
  catchUp(room: Room): Promise<void> {
    if (room.gone || room.damaged) return Promise.resolve()
    room.behind = true
    room.catching ??= this.look(room)
    return room.catching
  }

  /** Takes in a segment that another node says it has committed. What does not fit is read from the database. */
  adopt(room: Room, incarnation: string, segment: Segment): Promise<void> {
    if (segment.lastSeq <= room.head) return Promise.resolve()
    const fits = room.incarnation === incarnation && room.head === segment.prevSeq && !room.flushing && !room.catching
    const updates = fits ? decodeSegment(segment.payload, segment.crc) : undefined
    if (!updates || room.head + updates.length !== segment.lastSeq || room.gone) return this.catchUp(room)
    this.arrive(
      room,
      updates.map(({ bytes, at }, i) => ({ seq: segment.prevSeq + 1 + i, bytes, at: segment.at + at })),
    )
    return Promise.resolve()
  }

  /** Takes out of a room what will not be committed. */
  discard(room: Room, work: () => void): void {
    const before = room.pendingBytes
    work()
    this.pendingBytes += room.pendingBytes - before
  }

  /** Resolves when everything is durable. */
  async settle(): Promise<void> {
    // A room that is being looked at waits for no flush, and comes back to it.
    while (this.pendingBytes > 0 && !this.stopped) {
      await this.lanes.settle()
      if (this.pendingBytes > 0) await Bun.sleep(1)
    }
  }

  /** Drops what of a room is not committed: nobody is there any more who could be told. */
  drop(room: Room): void {
    room.gone = true
    this.pendingBytes -= room.pendingBytes
    room.pendingBytes = 0
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.lanes.stop()
    await Promise.all(this.drivers.map((driver) => driver.close({ timeout: 2 })))
  }

  private async look(room: Room): Promise<void> {
    // Not at once: `catching` is set by then.
    await Promise.resolve()
    try {
      while (room.flushing) await room.flushing
      while (room.behind && !room.gone) {
        room.behind = false
        await this.read(this.sql, room)
      }
    } finally {
      // In the same turn in which nothing was behind: whoever asks from now on begins a new look.
      room.catching = undefined
      if (room.hasUncommitted && !room.gone) this.lanes.add(room)
    }
  }

  /** One flush. When its outcome is unknown it is repeated: an update that is stored twice is harmless. */
  private async store(sql: SQL, batch: Batch): Promise<void> {
    const ready: Batch = []
    for (const { room, entries } of batch) {
      if (room.id === undefined && !(await this.create(sql, room))) continue
      ready.push({ room, entries })
    }
    if (ready.length === 0) return
    const segments = ready.map(({ room, entries }) => ({
      roomId: room.id as number,
      incarnation: room.incarnation,
      n: entries.length,
      expect: room.expectation(entries),
      ...encodeSegment(entries),
    }))
    const heads = await appendSegments(sql, segments)
    const others: Promise<void>[] = []
    for (const [i, { room, entries }] of ready.entries()) {
      const { n, payload, crc } = segments[i] as (typeof segments)[number]
      const lastSeq = heads.get(room.id as number)
      if (lastSeq === undefined) {
        others.push(this.explain(sql, room))
        continue
      }
      const prevSeq = lastSeq - n
      const settle = () => {
        if (room.gone) return
        const committed = room.commit(n, lastSeq)
        for (const { bytes } of committed) this.pendingBytes -= bytes.length
        this.handlers.committed(room, committed)
        this.onAppended?.(room, { prevSeq, lastSeq, payload, crc, at: entries[0]?.at ?? 0 })
      }
      if (prevSeq === room.head) settle()
      else if (prevSeq < room.head) this.rewound(room, 'less')
      else others.push(this.read(sql, room, prevSeq).then(settle))
    }
    await Promise.all(others)
  }

  /** @returns false when the room exists and is of another kind */
  private async create(sql: SQL, room: Room): Promise<boolean> {
    // The first append of an encrypted room says with which epoch its keys begin.
    const keyEpoch = room.expectation(room.uncommitted(1))?.keyEpoch
    const { id, kind, incarnation } = await createRoom(sql, room.instanceId, room.key, room.kind, keyEpoch)
    if (kind !== room.kind) {
      this.handlers.gone(room, 'wrong_protocol', 'this document is of another kind')
      return false
    }
    room.id = id
    room.incarnation = incarnation
    return true
  }

  /** Nothing was appended: the room is deleted, or somebody was faster. */
  private async explain(sql: SQL, room: Room): Promise<void> {
    await this.read(sql, room)
    if (!room.gone) this.handlers.refused(room)
  }

  private async read(sql: SQL, room: Room, upTo?: number): Promise<void> {
    const news = await readNews(sql, room, upTo)
    // Dropped meanwhile: what it holds is somebody else's now.
    if (room.gone) return
    // Nothing of an unwritten room is in the database; one that was written and is gone was deleted or lost.
    if (!news) {
      if (room.id !== undefined) this.rewound(room, 'nothing')
      return
    }
    const { state, segments } = news
    if (state.kind !== room.kind) return this.handlers.gone(room, 'wrong_protocol', 'this document is of another kind')
    if (state.deleted) return this.handlers.gone(room, 'room_deleted', 'the document is gone')
    if (room.incarnation !== undefined && room.incarnation !== state.incarnation)
      return this.rewound(room, 'another log')
    if (state.head < room.head) return this.rewound(room, 'less')
    room.id = state.id
    room.incarnation = state.incarnation
    const entries: StoredEntry[] = []
    let seq = room.head
    for (const segment of segments) {
      if (segment.lastSeq - segment.n > seq)
        // What lies between was folded into a snapshot long ago.
        return this.handlers.gone(room, 'storage_unavailable', 'too much was missed: come back')
      const updates = decodeSegment(segment.payload, segment.crc)
      if (updates?.length !== segment.n) {
        this.log.error({ room: room.id, seq: segment.lastSeq }, 'a stored segment is damaged')
        room.damaged = true
        break
      }
      for (const [i, { bytes, at }] of updates.entries())
        entries.push({ seq: segment.lastSeq - segment.n + 1 + i, bytes, at: segment.at + at })
      seq = segment.lastSeq
    }
    if (entries.length > 0) this.arrive(room, entries)
    this.handlers.looked(room, state)
  }

  private rewound(room: Room, found: Rewound) {
    if (room.gone) return
    this.drop(room)
    this.handlers.rewound(room, found)
  }

  private arrive(room: Room, stored: readonly StoredEntry[]) {
    const before = room.pendingBytes
    const entries = room.insert(stored)
    this.pendingBytes += room.pendingBytes - before
    if (entries.length > 0) this.handlers.arrived(room, entries)
  }
}
