import type { SQL } from 'bun'
import type { SnapshotOffer } from './encrypted-frames.ts'
import { extendChain, startChain } from './envelope.ts'
import { decodeSegment } from './segment.ts'
import { Senders } from './senders.ts'
import { createRoom, type StoredEntry, WrongRoomKind } from './store.ts'

export type StoredSnapshot = SnapshotOffer & { author: string | undefined; isConfirmed: boolean }

export type StoredEncryptedRoom = {
  id: number | undefined
  incarnation: string | undefined
  keyEpoch: number
  keyParams: Uint8Array | undefined
  snapshotSeq: number
  snapshot: StoredSnapshot | undefined
  senders: Senders
  tail: StoredEntry[]
  damaged: boolean
  deleted: boolean
}

/** How long what a snapshot contains is kept beside it, and snapshots beyond the two before the live one. */
const retention = '7 days'
/** An upload that has not ended by then was given up. */
const buildingFor = '5 minutes'

/**
 * Reads an encrypted room: what its live snapshot is, and every envelope behind it as far as they are whole. Nothing of
 * it can be opened here.
 *
 * @throws {WrongRoomKind} for a document that the server can read
 */
export async function loadEncryptedRoom(sql: SQL, instanceId: string, key: string): Promise<StoredEncryptedRoom> {
  const [room] = await sql`
    select id::float8 as id, kind, incarnation::text as incarnation, head::float8 as head, chain,
      snapshot_seq::float8 as "snapshotSeq", key_epoch as "keyEpoch", key_params as "keyParams",
      deleted_at is not null as deleted
    from sync_rooms where instance_id = ${instanceId} and key = ${key}`
  const empty = { snapshot: undefined, senders: new Senders(), tail: [], damaged: false, deleted: false }
  if (!room)
    return { id: undefined, incarnation: undefined, keyEpoch: 0, keyParams: undefined, snapshotSeq: 0, ...empty }
  if (room.kind !== 'e2ee') throw new WrongRoomKind('the room is of another kind')
  const base = {
    id: room.id,
    incarnation: room.incarnation,
    keyEpoch: room.keyEpoch,
    keyParams: room.keyParams ?? undefined,
    snapshotSeq: room.snapshotSeq,
  }
  if (room.deleted) return { ...base, ...empty, deleted: true }
  const live = await readSnapshotMeta(sql, room.id)
  // A newer one may have come between the two reads.
  const snapshotSeq = live?.seq ?? 0
  if (room.snapshotSeq > 0 && !live) return { ...base, ...empty, damaged: true }
  const senders = live ? await readSenders(sql, room.id, live.seq) : new Senders()
  const { entries, whole } = await readEntries(sql, room.id, snapshotSeq, Number.MAX_SAFE_INTEGER)
  let chain = live?.chain ?? startChain(key)
  for (const { seq, bytes } of entries) chain = extendChain(chain, seq, bytes)
  const last = entries[entries.length - 1]?.seq ?? snapshotSeq
  const isChained = last !== room.head || room.head === 0 || Buffer.from(room.chain ?? []).equals(chain)
  const damaged = !whole || !isChained || last < room.head
  return { ...base, snapshotSeq, snapshot: live, senders, tail: entries, damaged, deleted: false }
}

/** @returns the live snapshot but for its content */
export async function readSnapshotMeta(sql: SQL, roomId: number): Promise<StoredSnapshot | undefined> {
  const [row] = await sql`
    select s.seq::float8 as seq, s.key_epoch as epoch, s.bytes as size, s.sha256, s.chain, s.author,
      s.confirmed_at is not null as "isConfirmed",
      (select count(*)::int from sync_room_snapshot_chunks c where c.room_id = s.room_id and c.seq = s.seq) as chunks
    from sync_room_snapshots s where s.room_id = ${roomId} and s.state = 'live'`
  return row && { ...row, author: row.author ?? undefined }
}

/** @returns how many chunks a finished snapshot has; undefined when there is none of that number */
export async function countChunks(sql: SQL, roomId: number, seq: number): Promise<number | undefined> {
  const [row] = await sql`
    select (select count(*)::int from sync_room_snapshot_chunks c where c.room_id = s.room_id and c.seq = s.seq) as n
    from sync_room_snapshots s where s.room_id = ${roomId} and s.seq = ${seq} and s.state in ('live', 'old')`
  return row?.n
}

export async function readChunk(sql: SQL, roomId: number, seq: number, n: number): Promise<Uint8Array | undefined> {
  const [row] = await sql`
    select payload from sync_room_snapshot_chunks where room_id = ${roomId} and seq = ${seq} and n = ${n}`
  return row?.payload
}

async function readSenders(sql: SQL, roomId: number, seq: number): Promise<Senders> {
  const [row] = await sql`select senders from sync_room_snapshots where room_id = ${roomId} and seq = ${seq}`
  return row?.senders ? Senders.decode(row.senders) : new Senders()
}

/**
 * The entries `after < seq <= to`, as far as they lie there whole and without gaps.
 *
 * @param bytes stops behind the segment with which so many are reached
 */
export async function readEntries(
  sql: SQL,
  roomId: number,
  after: number,
  to: number,
  bytes: number = Number.MAX_SAFE_INTEGER,
): Promise<{ entries: StoredEntry[]; whole: boolean }> {
  const rows: { lastSeq: number; n: number; crc: number; payload: Uint8Array; at: number }[] = await sql`
    select "lastSeq", n, crc, payload, at from (
      select last_seq::float8 as "lastSeq", n, crc, payload, (extract(epoch from at) * 1000)::float8 as at,
        sum(length(payload)) over (order by last_seq) - length(payload) as before
      from sync_room_segments
      where room_id = ${roomId} and last_seq > ${after} and last_seq - n < ${to}
    ) s where before < ${bytes} order by "lastSeq"`
  const entries: StoredEntry[] = []
  let expected = after
  for (const row of rows) {
    const first = row.lastSeq - row.n + 1
    const found = first <= expected + 1 ? decodeSegment(row.payload, row.crc) : undefined
    if (found?.length !== row.n) return { entries, whole: false }
    for (const [i, { bytes, at }] of found.entries())
      if (first + i > expected && first + i <= to)
        entries.push({ seq: first + i, bytes: new Uint8Array(bytes), at: row.at + at })
    expected = row.lastSeq
  }
  return { entries, whole: true }
}

/** Stores what the first writer leaves for those who derive the key. @returns what is in force: the first one's */
export async function writeKeyParams(
  sql: SQL,
  { instanceId, key }: { instanceId: string; key: string },
  bytes: Uint8Array,
): Promise<Uint8Array | undefined> {
  const { id, kind } = await createRoom(sql, instanceId, key, 'e2ee')
  if (kind !== 'e2ee') throw new WrongRoomKind('the room is of another kind')
  const [row] = await sql`
    update sync_rooms set key_params = coalesce(key_params, ${Buffer.from(bytes)})
    where id = ${id} and deleted_at is null returning key_params as "keyParams"`
  return row?.keyParams
}

/** Begins an upload. @returns false when somebody else is at it, or that snapshot exists */
export async function beginSnapshot(
  sql: SQL,
  room: { id: number; instanceId: string },
  offer: SnapshotOffer,
  author: string,
): Promise<boolean> {
  await sql`
    delete from sync_room_snapshots
    where room_id = ${room.id} and state = 'building' and at < now() - ${buildingFor}::interval`
  await deleteLooseChunks(sql, room.id)
  const { seq, epoch, size, sha256, chain } = offer
  const rows = await sql`
    insert into sync_room_snapshots (room_id, seq, instance_id, key_epoch, state, bytes, codec, sha256, chain, author)
    values (${room.id}, ${seq}, ${room.instanceId}, ${epoch}, 'building', ${size}, 'plain', ${Buffer.from(sha256)},
      ${Buffer.from(chain)}, ${author})
    on conflict do nothing returning seq`
  return rows.length > 0
}

export async function writeChunk(
  sql: SQL,
  room: { id: number; instanceId: string },
  seq: number,
  n: number,
  bytes: Uint8Array,
): Promise<void> {
  await sql`
    insert into sync_room_snapshot_chunks (room_id, seq, n, instance_id, payload)
    values (${room.id}, ${seq}, ${n}, ${room.instanceId}, ${Buffer.from(bytes)})`
}

export async function abandonSnapshot(sql: SQL, roomId: number, seq: number): Promise<void> {
  await sql`delete from sync_room_snapshots where room_id = ${roomId} and seq = ${seq} and state = 'building'`
  await deleteLooseChunks(sql, roomId)
}

async function deleteLooseChunks(sql: SQL, roomId: number): Promise<void> {
  await sql`
    delete from sync_room_snapshot_chunks c where room_id = ${roomId}
      and not exists (select from sync_room_snapshots s where s.room_id = c.room_id and s.seq = c.seq)`
}

/**
 * Makes an upload the live snapshot. What it contains stays until another member has opened it and a week is over.
 *
 * @returns false when it is outdated: a newer one is live, or the key was rotated
 */
export async function commitSnapshot(
  sql: SQL,
  roomId: number,
  { seq, epoch }: SnapshotOffer,
  senders: Senders,
): Promise<boolean> {
  return sql.begin(async (tx) => {
    const [room] = await tx`
      select snapshot_seq::float8 as seq, key_epoch as epoch from sync_rooms
      where id = ${roomId} and head >= ${seq} and deleted_at is null for update`
    if (!room || room.seq >= seq || room.epoch !== epoch) return false
    await tx`update sync_room_snapshots set state = 'old' where room_id = ${roomId} and state = 'live'`
    const rows = await tx`
      update sync_room_snapshots set state = 'live', at = now(), senders = ${Buffer.from(senders.encode())}
      where room_id = ${roomId} and seq = ${seq} and state = 'building' returning seq`
    if (rows.length === 0) return false
    await tx`update sync_rooms set snapshot_seq = ${seq} where id = ${roomId}`
    await discardOldEnvelopes(tx, roomId)
    return true
  })
}

/** Another member has opened the snapshot: from now on it counts as what it says it is. */
export async function confirmSnapshot(sql: SQL, roomId: number, seq: number, member: string): Promise<boolean> {
  const rows = await sql`
    update sync_room_snapshots set confirmed_at = coalesce(confirmed_at, now())
    where room_id = ${roomId} and seq = ${seq} and state in ('live', 'old') and author is distinct from ${member}
    returning seq`
  return rows.length > 0
}

/**
 * A member could not open the snapshot. It is never served again, the one before it takes its place, and nothing of the
 * room is deleted any more until an operator has looked.
 *
 * @returns false when there is no such snapshot
 */
export async function condemnSnapshot(sql: SQL, roomId: number, seq: number): Promise<boolean> {
  return sql.begin(async (tx) => {
    await tx`select from sync_rooms where id = ${roomId} for update`
    const rows = await tx`
      update sync_room_snapshots set state = 'bad'
      where room_id = ${roomId} and seq = ${seq} and state in ('live', 'old') returning seq`
    if (rows.length === 0) return false
    const [live] = await tx`
      update sync_room_snapshots set state = 'live'
      where room_id = ${roomId} and seq = (
        select max(seq) from sync_room_snapshots where room_id = ${roomId} and state in ('live', 'old'))
      returning seq::float8 as seq`
    await tx`update sync_rooms set snapshot_seq = ${live?.seq ?? 0} where id = ${roomId}`
    return true
  })
}

/**
 * Deletes what is over: old snapshots but for two, and envelopes that every kept snapshot contains, once a member other
 * than its author has opened one that contains them and a week has passed since.
 */
async function discardOldEnvelopes(tx: SQL, roomId: number): Promise<void> {
  const [bad] = await tx`select from sync_room_snapshots where room_id = ${roomId} and state = 'bad' limit 1`
  if (bad) return
  await tx`
    delete from sync_room_snapshots where room_id = ${roomId} and state = 'old' and at < now() - ${retention}::interval
      and seq not in (
        select seq from sync_room_snapshots where room_id = ${roomId} and state = 'old' order by seq desc limit 2)`
  await deleteLooseChunks(tx, roomId)
  await tx`
    delete from sync_room_segments where room_id = ${roomId}
      and last_seq <= (select min(seq) from sync_room_snapshots where room_id = ${roomId} and state in ('live', 'old'))
      and last_seq <= (
        select max(seq) from sync_room_snapshots
        where room_id = ${roomId} and state in ('live', 'old') and confirmed_at < now() - ${retention}::interval)`
}
