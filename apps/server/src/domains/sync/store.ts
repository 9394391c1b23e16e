import { createHash } from 'node:crypto'
import type { SQL } from 'bun'
import { emptyUpdateFrame } from './protocol.ts'
import { decodeSegment } from './segment.ts'
import { decodeClocks, type PackedSnapshot, packSnapshot } from './stored-snapshot.ts'
import type { ClockRange } from './walk-update.ts'

/** What a room holds: documents whose updates the server can read, or envelopes that it cannot. */
export type RoomKindName = 'yjs' | 'e2ee'

export type StoredEntry = {
  seq: number
  bytes: Uint8Array
  /** Milliseconds since 1970. */
  at: number
}

export type StoredRoom = {
  /** Undefined: the room has never been written to. */
  id: number | undefined
  incarnation: string | undefined
  head: number
  snapshotSeq: number
  snapshot: Snapshot | undefined
  tail: StoredEntry[]
  /** What stands in the database is not what was written: nothing may be appended behind it. */
  damaged: boolean
  deleted: boolean
}

/** A document in memory: once, as it is sent. */
export type Snapshot = {
  /** The frame of an update. */
  frame: Uint8Array
  /** The update itself: a view into the frame. */
  update: Uint8Array
  /** Which operations it holds; absent: nobody has written it down. */
  ranges: ClockRange[] | undefined
}

/** Chunks that are read at once: what is decompressed of them stops the event loop for a few milliseconds. */
const chunksAtOnce = 16
/** How long the snapshot before the live one, and the updates behind it, are kept. */
const retention = '24 hours'

/** A room exists and is of another kind than its client. */
export class WrongRoomKind extends Error {
  override name = 'WrongRoomKind'
}

/**
 * Reads a document room: its live snapshot and every update behind it, as far as they are whole.
 *
 * @throws {WrongRoomKind} for an encrypted room
 */
export async function loadRoom(sql: SQL, instanceId: string, key: string): Promise<StoredRoom> {
  const [room] = await sql`
    select id::float8 as id, head::float8 as head, snapshot_seq::float8 as seq, deleted_at is not null as deleted,
      kind, incarnation::text as incarnation
    from sync_rooms where instance_id = ${instanceId} and key = ${key}`
  const empty = { snapshot: undefined, tail: [], damaged: false, deleted: false }
  if (!room) return { id: undefined, incarnation: undefined, head: 0, snapshotSeq: 0, ...empty }
  if (room.kind !== 'yjs') throw new WrongRoomKind('the room is of another kind')
  const { id, head, incarnation } = room
  if (room.deleted) return { id, incarnation, head, snapshotSeq: 0, ...empty, deleted: true }
  const live = room.seq > 0 ? await readSnapshot(sql, id) : undefined
  const snapshot = live?.snapshot
  // A newer one may have come between the two reads.
  if (live) room.seq = live.seq
  if (room.seq > 0 && !snapshot) return { id, incarnation, head, snapshotSeq: room.seq, ...empty, damaged: true }
  const rows: { seq: number; n: number; crc: number; payload: Uint8Array; at: number }[] = await sql`
    select last_seq::float8 as seq, n, crc, payload, (extract(epoch from at) * 1000)::float8 as at
    from sync_room_segments where room_id = ${id} and last_seq > ${room.seq} order by last_seq`
  const tail: StoredEntry[] = []
  let expected = room.seq
  for (const row of rows) {
    const updates = decodeSegment(row.payload, row.crc)
    // A snapshot may have been taken in the middle of a segment: its first updates are known then, and harmless.
    const contiguous = row.seq - row.n <= expected
    if (!updates || updates.length !== row.n || !contiguous) {
      return { id, incarnation, head, snapshotSeq: room.seq, snapshot, tail, damaged: true, deleted: false }
    }
    updates.forEach(({ bytes, at }, i) => {
      const seq = row.seq - row.n + 1 + i
      if (seq > expected) tail.push({ seq, bytes, at: row.at + at })
    })
    expected = row.seq
  }
  // `head` may have moved between the two reads, but never below what a committed segment says.
  return { id, incarnation, head, snapshotSeq: room.seq, snapshot, tail, damaged: expected < head, deleted: false }
}

/** What the database says about a room besides its log. */
export type RoomState = {
  id: number
  kind: RoomKindName
  incarnation: string
  head: number
  snapshotSeq: number
  keyEpoch: number
  keyParams: Uint8Array | undefined
  chain: Uint8Array | undefined
  deleted: boolean
}

export type StoredSegment = { lastSeq: number; n: number; crc: number; payload: Uint8Array; at: number }

/**
 * Reads what was appended behind the head that a room has in memory, and the room's row, as of one moment.
 *
 * @param upTo number of the last entry that is asked for
 * @returns undefined when there is no such room
 */
export async function readNews(
  sql: SQL,
  room: { instanceId: string; key: string; head: number },
  upTo: number = Number.MAX_SAFE_INTEGER,
): Promise<{ state: RoomState; segments: StoredSegment[] } | undefined> {
  const rows = await sql`
    select r.id::float8 as id, r.kind, r.incarnation::text as incarnation, r.head::float8 as head,
      r.snapshot_seq::float8 as "snapshotSeq", r.key_epoch as "keyEpoch", r.key_params as "keyParams",
      r.chain, r.deleted_at is not null as deleted,
      s.last_seq::float8 as "lastSeq", s.n, s.crc, s.payload, (extract(epoch from s.at) * 1000)::float8 as at
    from sync_rooms r left join sync_room_segments s
      on s.room_id = r.id and s.last_seq > ${room.head} and s.last_seq <= ${upTo}
    where r.instance_id = ${room.instanceId} and r.key = ${room.key} order by s.last_seq`
  const [first] = rows
  if (!first) return undefined
  const { id, kind, incarnation, head, snapshotSeq, keyEpoch, deleted } = first
  const [keyParams, chain] = [first.keyParams ?? undefined, first.chain ?? undefined]
  return {
    state: { id, kind, incarnation, head, snapshotSeq, keyEpoch, keyParams, chain, deleted },
    segments: first.lastSeq === null ? [] : rows,
  }
}

/** @returns the live snapshot of a document; undefined when there is none, or it is not what was written */
export async function readSnapshot(sql: SQL, roomId: number): Promise<{ seq: number; snapshot: Snapshot } | undefined> {
  const [meta] = await sql`
    select seq::float8 as seq, bytes, codec, sha256, senders from sync_room_snapshots
    where room_id = ${roomId} and state = 'live'`
  if (!meta) return undefined
  const { seq, codec } = meta
  const { frame, update } = emptyUpdateFrame(meta.bytes)
  const sha256 = createHash('sha256')
  let at = 0
  for (let from = 0; ; from += chunksAtOnce) {
    const chunks: { payload: Uint8Array<ArrayBuffer> }[] = await sql`
      select payload from sync_room_snapshot_chunks
      where room_id = ${roomId} and seq = ${seq} and n >= ${from} and n < ${from + chunksAtOnce} order by n`
    try {
      for (const { payload } of chunks) {
        sha256.update(payload)
        const part = codec === 'parts' ? Bun.zstdDecompressSync(payload) : payload
        // More than what was announced throws.
        update.set(part, at)
        at += part.length
        // Given back now: the collector would let a large document pile up once more beside the frame.
        if (part !== payload) (part.buffer as ArrayBuffer).transfer(0)
      }
    } catch {
      return undefined
    }
    if (chunks.length < chunksAtOnce) break
  }
  if (at === update.length && sha256.digest().equals(meta.sha256))
    return { seq, snapshot: { frame, update, ranges: meta.senders ? decodeClocks(meta.senders) : undefined } }
  // Newer ones may have come meanwhile, and the oldest of them gone.
  const [live] = await sql`
    select seq::float8 as seq from sync_room_snapshots where room_id = ${roomId} and state = 'live'`
  return live && live.seq !== seq ? readSnapshot(sql, roomId) : undefined
}

/**
 * The row of a room that is about to be written for the first time. The first writer decides of which kind it is, for
 * ever: the kind that comes back may be another one.
 */
export async function createRoom(
  sql: SQL,
  instanceId: string,
  key: string,
  kind: RoomKindName = 'yjs',
  keyEpoch = 0,
  incarnation: string = crypto.randomUUID(),
): Promise<{ id: number; kind: RoomKindName; incarnation: string }> {
  const organizationId = key.match(/^(org_[^/]+)\//)?.[1] ?? null
  const [row] = await sql`
    insert into sync_rooms (instance_id, key, kind, key_epoch, organization_id, incarnation)
    values (${instanceId}, ${key}, ${kind}, ${keyEpoch}, ${organizationId}, ${incarnation}::text::uuid)
    on conflict (instance_id, key) do update set key = excluded.key
    returning id::float8 as id, kind, incarnation::text as incarnation`
  return row
}

/** Appended only if the room still stands where the writer saw it. */
export type Expectation = {
  head: number
  keyEpoch: number
  /** Hash over the log including what is appended. */
  chain: Uint8Array
}

export type Append = {
  roomId: number
  /** Appended only to this log: after a failover the number of a room that was lost may be another one's. */
  incarnation?: string | undefined
  n: number
  payload: Uint8Array
  crc: number
  expect?: Expectation | undefined
}

/**
 * Appends one segment to each of the rooms in one statement: locks the rooms in the order of their ids (no deadlock
 * with another writer), gives out numbers, inserts. The payloads travel as one binary value that SQL cuts, which is
 * what makes it fast.
 *
 * @returns the number of the last update by room; a room that is missing no longer exists, or is not as expected
 */
export async function appendSegments(sql: SQL, appends: readonly Append[]): Promise<Map<number, number>> {
  const offsets: number[] = []
  let offset = 0
  for (const { payload } of appends) {
    offsets.push(offset)
    offset += payload.length
  }
  const list = (numbers: readonly number[]) => `{${numbers.join(',')}}`
  // Documents expect nothing: the columns of an empty list are null.
  const expecting = appends.some(({ expect }) => expect) ? appends : []
  const rows: { id: number; seq: number }[] = await sql`
    with input as (
      select * from unnest(
        ${list(appends.map((a) => a.roomId))}::text::bigint[], ${list(appends.map((a) => a.n))}::text::int[],
        ${list(offsets)}::text::int[], ${list(appends.map((a) => a.payload.length))}::text::int[],
        ${list(appends.map((a) => a.crc))}::text::int[],
        ${list(expecting.map((a) => a.expect?.head ?? -1))}::text::bigint[],
        ${list(expecting.map((a) => a.expect?.keyEpoch ?? -1))}::text::bigint[],
        ${`{${expecting.map((a) => hexOf(a.expect?.chain)).join(',')}}`}::text::text[],
        ${`{${appends.map((a) => a.incarnation ?? 'NULL').join(',')}}`}::text::uuid[]
      ) as t(room_id, n, start, length, crc, expected_head, expected_epoch, chain, incarnation)
    ), locked as materialized (
      select r.id from sync_rooms r join input i on i.room_id = r.id
      where r.deleted_at is null and r.incarnation = coalesce(i.incarnation, r.incarnation)
        and (coalesce(i.expected_head, -1) < 0 or (r.head = i.expected_head and r.key_epoch = i.expected_epoch))
      order by r.id for update of r
    ), moved as (
      update sync_rooms r set head = r.head + i.n, chain = coalesce(decode(i.chain, 'hex'), r.chain)
      from input i join locked l on l.id = i.room_id
      where r.id = i.room_id returning r.id, r.instance_id, r.head, i.n, i.start, i.length, i.crc, decode(i.chain, 'hex') as chain
    )
    insert into sync_room_segments (room_id, last_seq, instance_id, n, crc, chain, payload)
    select id, head, instance_id, n, crc, chain, substring(${Buffer.concat(appends.map((a) => a.payload))}::bytea from start + 1 for length)
    from moved returning room_id::float8 as id, last_seq::float8 as seq`
  return new Map(rows.map((row) => [row.id, row.seq]))
}

/** As an element of a PostgreSQL array of text. */
function hexOf(bytes: Uint8Array | undefined): string {
  return bytes ? Buffer.from(bytes).toString('hex') : 'NULL'
}

/**
 * Makes `document` the snapshot of everything up to `seq`. The snapshot before it and its updates stay for a day.
 *
 * @returns false when another writer's snapshot is newer, or the log is not (any more) the one that it folds
 */
export async function writeSnapshot(
  sql: SQL,
  roomId: number,
  seq: number,
  document: Uint8Array | PackedSnapshot,
  incarnation?: string,
): Promise<boolean> {
  const packed = document instanceof Uint8Array ? packSnapshot(document) : document
  const { codec, bytes, sha256, chunks } = packed
  const clocks = packed.clocks ? Buffer.from(packed.clocks) : null
  return sql.begin(async (tx) => {
    const [room] = await tx`
      select instance_id, snapshot_seq::float8 as seq, head::float8 as head, incarnation::text as incarnation from sync_rooms
      where id = ${roomId} and deleted_at is null for update`
    if (!room || room.seq >= seq) return false
    // The log went back: what this snapshot folds is not in it, and numbers that are to come would count as folded.
    if (room.head < seq || (incarnation !== undefined && room.incarnation !== incarnation)) return false
    await tx`update sync_room_snapshots set state = 'old' where room_id = ${roomId} and state = 'live'`
    await tx`
      insert into sync_room_snapshots (room_id, seq, instance_id, state, bytes, codec, sha256, senders)
      values (${roomId}, ${seq}, ${room.instance_id}, 'live', ${bytes}, ${codec}, ${Buffer.from(sha256)}, ${clocks})`
    for (const [n, chunk] of chunks.entries())
      await tx`
        insert into sync_room_snapshot_chunks (room_id, seq, n, instance_id, payload)
        values (${roomId}, ${seq}, ${n}, ${room.instance_id}, ${Buffer.from(chunk)})`
    await tx`update sync_rooms set snapshot_seq = ${seq} where id = ${roomId}`
    await discardOld(tx, roomId)
    return true
  })
}

/** Drops snapshots whose day is over, all but the newest old one, and the updates that every kept one contains. */
async function discardOld(tx: SQL, roomId: number) {
  await tx`
    delete from sync_room_snapshots where room_id = ${roomId} and state = 'old'
      and (at < now() - ${retention}::interval
        or seq < (select max(seq) from sync_room_snapshots where room_id = ${roomId} and state = 'old'))`
  await tx`
    delete from sync_room_snapshot_chunks c where room_id = ${roomId}
      and not exists (select from sync_room_snapshots s where s.room_id = c.room_id and s.seq = c.seq)`
  await tx`
    delete from sync_room_segments where room_id = ${roomId}
      and last_seq <= (select min(seq) from sync_room_snapshots where room_id = ${roomId})`
}
