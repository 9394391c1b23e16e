import { createHash } from 'node:crypto'
import type { SQL } from 'bun'
import { decodeSegment } from './segment.ts'

export type StoredRoom = {
  /** Undefined: the room has never been written to. */
  id: number | undefined
  head: number
  snapshotSeq: number
  snapshot: Uint8Array | undefined
  tail: { seq: number; bytes: Uint8Array }[]
  /** What stands in the database is not what was written: nothing may be appended behind it. */
  damaged: boolean
  deleted: boolean
}

const chunkBytes = 256 * 1024
/** Below this compression saves less than it costs. */
const compressFrom = 64 * 1024
/** How long the snapshot before the live one, and the updates behind it, are kept. */
const retention = '24 hours'

/** Reads a room: its live snapshot and every update behind it, as far as they are whole. */
export async function loadRoom(sql: SQL, instanceId: string, key: string): Promise<StoredRoom> {
  const [room] = await sql`
    select id::float8 as id, head::float8 as head, snapshot_seq::float8 as seq, deleted_at is not null as deleted
    from sync_rooms where instance_id = ${instanceId} and key = ${key}`
  const empty = { snapshot: undefined, tail: [], damaged: false, deleted: false }
  if (!room) return { id: undefined, head: 0, snapshotSeq: 0, ...empty }
  const { id, head } = room
  if (room.deleted) return { id, head, snapshotSeq: 0, ...empty, deleted: true }
  const snapshot = room.seq > 0 ? await readSnapshot(sql, id, room.seq) : undefined
  if (room.seq > 0 && !snapshot) return { id, head, snapshotSeq: room.seq, ...empty, damaged: true }
  const rows: { seq: number; n: number; crc: number; payload: Uint8Array }[] = await sql`
    select last_seq::float8 as seq, n, crc, payload from sync_room_segments
    where room_id = ${id} and last_seq > ${room.seq} order by last_seq`
  const tail: StoredRoom['tail'] = []
  let expected = room.seq
  for (const row of rows) {
    const updates = decodeSegment(row.payload, row.crc)
    // A snapshot may have been taken in the middle of a segment: its first updates are known then, and harmless.
    const contiguous = row.seq - row.n <= expected
    if (!updates || updates.length !== row.n || !contiguous) {
      return { id, head, snapshotSeq: room.seq, snapshot, tail, damaged: true, deleted: false }
    }
    updates.forEach((bytes, i) => {
      const seq = row.seq - row.n + 1 + i
      if (seq > expected) tail.push({ seq, bytes: new Uint8Array(bytes) })
    })
    expected = row.seq
  }
  // `head` may have moved between the two reads, but never below what a committed segment says.
  return { id, head, snapshotSeq: room.seq, snapshot, tail, damaged: expected < head, deleted: false }
}

async function readSnapshot(sql: SQL, roomId: number, seq: number): Promise<Uint8Array | undefined> {
  const [meta] = await sql`
    select bytes, codec, sha256 from sync_room_snapshots where room_id = ${roomId} and seq = ${seq} and state = 'live'`
  if (!meta) return undefined
  const chunks: { payload: Uint8Array }[] = await sql`
    select payload from sync_room_snapshot_chunks where room_id = ${roomId} and seq = ${seq} order by n`
  try {
    const stored = Buffer.concat(chunks.map((chunk) => chunk.payload))
    const bytes = meta.codec === 'zstd' ? await Bun.zstdDecompress(stored) : stored
    const whole = bytes.length === meta.bytes && createHash('sha256').update(bytes).digest().equals(meta.sha256)
    return whole ? bytes : undefined
  } catch {
    return undefined
  }
}

/** The id of a room that is about to be written for the first time. */
export async function createRoom(sql: SQL, instanceId: string, key: string): Promise<number> {
  const organizationId = key.match(/^(org_[^/]+)\//)?.[1] ?? null
  const [row] = await sql`
    insert into sync_rooms (instance_id, key, organization_id) values (${instanceId}, ${key}, ${organizationId})
    on conflict (instance_id, key) do update set key = excluded.key returning id::float8 as id`
  return row.id
}

export type Append = { roomId: number; n: number; payload: Uint8Array; crc: number }

/**
 * Appends one segment to each of the rooms in one statement: locks the rooms in the order of their ids (no deadlock
 * with another writer), gives out numbers, inserts. The payloads travel as one binary value that SQL cuts, which is
 * what makes it fast.
 *
 * @returns the number of the last update by room; a room that is missing no longer exists
 */
export async function appendSegments(sql: SQL, appends: readonly Append[]): Promise<Map<number, number>> {
  const offsets: number[] = []
  let offset = 0
  for (const { payload } of appends) {
    offsets.push(offset)
    offset += payload.length
  }
  const list = (numbers: readonly number[]) => `{${numbers.join(',')}}`
  const rows: { id: number; seq: number }[] = await sql`
    with input as (
      select * from unnest(
        ${list(appends.map((a) => a.roomId))}::text::bigint[], ${list(appends.map((a) => a.n))}::text::int[],
        ${list(offsets)}::text::int[], ${list(appends.map((a) => a.payload.length))}::text::int[],
        ${list(appends.map((a) => a.crc))}::text::int[]
      ) as t(room_id, n, start, length, crc)
    ), locked as materialized (
      select r.id from sync_rooms r join input i on i.room_id = r.id where r.deleted_at is null order by r.id for update of r
    ), moved as (
      update sync_rooms r set head = r.head + i.n from input i join locked l on l.id = i.room_id
      where r.id = i.room_id returning r.id, r.instance_id, r.head, i.n, i.start, i.length, i.crc
    )
    insert into sync_room_segments (room_id, last_seq, instance_id, n, crc, payload)
    select id, head, instance_id, n, crc, substring(${Buffer.concat(appends.map((a) => a.payload))}::bytea from start + 1 for length)
    from moved returning room_id::float8 as id, last_seq::float8 as seq`
  return new Map(rows.map((row) => [row.id, row.seq]))
}

/**
 * Makes `document` the snapshot of everything up to `seq`. The snapshot before it and its updates stay for a day.
 *
 * @returns false when another writer's snapshot is newer
 */
export async function writeSnapshot(sql: SQL, roomId: number, seq: number, document: Uint8Array): Promise<boolean> {
  const compressed = document.length >= compressFrom ? await Bun.zstdCompress(document, { level: 1 }) : undefined
  const codec = compressed && compressed.length < document.length ? 'zstd' : 'plain'
  const stored = codec === 'zstd' ? (compressed as Uint8Array) : document
  const sha256 = createHash('sha256').update(document).digest()
  return sql.begin(async (tx) => {
    const [room] = await tx`
      select instance_id, snapshot_seq::float8 as seq from sync_rooms
      where id = ${roomId} and deleted_at is null for update`
    if (!room || room.seq >= seq) return false
    await tx`update sync_room_snapshots set state = 'old' where room_id = ${roomId} and state = 'live'`
    await tx`
      insert into sync_room_snapshots (room_id, seq, instance_id, state, bytes, codec, sha256)
      values (${roomId}, ${seq}, ${room.instance_id}, 'live', ${document.length}, ${codec}, ${sha256})`
    for (let n = 0; n * chunkBytes < stored.length; n++) {
      const chunk = Buffer.from(stored.subarray(n * chunkBytes, (n + 1) * chunkBytes))
      await tx`
        insert into sync_room_snapshot_chunks (room_id, seq, n, instance_id, payload)
        values (${roomId}, ${seq}, ${n}, ${room.instance_id}, ${chunk})`
    }
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
