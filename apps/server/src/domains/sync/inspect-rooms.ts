import type { SQL } from 'bun'
import { readChunk, readEntries, readSnapshotMeta } from './encrypted-store.ts'
import { loadRoom, type RoomKindName } from './store.ts'

/** A document as the operator sees it: never what is in it. */
export type RoomSummary = {
  instanceId: string
  /** The instance's name; absent for the rooms of a stand-alone server. */
  instance: string | undefined
  docId: string
  kind: RoomKindName
  /** Number of the last update. */
  head: number
  /** Number of the last update that the live snapshot contains; 0: there is none. */
  snapshotSeq: number
  keyEpoch: number
  organizationId: string | undefined
  createdAt: Date
  /** When it was written to last, as far as its log is kept. */
  writtenAt: Date | undefined
  deletedAt: Date | undefined
  /** What it takes in the database: log, snapshots, older snapshots. */
  storedBytes: number
}

export type RoomFilter = {
  /** Id or name of an instance. */
  instance?: string | undefined
  docId?: string | undefined
  limit: number
}

/** Documents by instance and id, deleted ones included. */
export async function listRooms(sql: SQL, { instance, docId, limit }: RoomFilter): Promise<RoomSummary[]> {
  const rows: (Omit<RoomSummary, 'instance' | 'organizationId' | 'writtenAt' | 'deletedAt'> & {
    instance: string | null
    organizationId: string | null
    writtenAt: Date | null
    deletedAt: Date | null
  })[] = await sql`
    select r.instance_id as "instanceId", i.name as instance, r.key as "docId", r.kind, r.head::float8 as head,
      r.snapshot_seq::float8 as "snapshotSeq", r.key_epoch as "keyEpoch", r.organization_id as "organizationId",
      r.created_at as "createdAt", r.deleted_at as "deletedAt",
      (select max(s.at) from sync_room_segments s where s.room_id = r.id) as "writtenAt",
      (coalesce((select sum(length(s.payload)) from sync_room_segments s where s.room_id = r.id), 0)
        + coalesce((select sum(length(c.payload)) from sync_room_snapshot_chunks c where c.room_id = r.id), 0))::float8
        as "storedBytes"
    from sync_rooms r left join instances i on i.id = r.instance_id
    where r.kind in ('yjs', 'e2ee')
      and (${instance ?? null}::text is null or r.instance_id = ${instance ?? ''} or i.name = ${instance ?? ''})
      and (${docId ?? null}::text is null or r.key = ${docId ?? ''})
    order by r.instance_id, r.key limit ${limit}`
  return rows.map((row) => ({
    ...row,
    instance: row.instance ?? undefined,
    organizationId: row.organizationId ?? undefined,
    writtenAt: row.writtenAt ?? undefined,
    deletedAt: row.deletedAt ?? undefined,
  }))
}

export type RoomDetails = RoomSummary & {
  /** Whether everything is as it was written. */
  isWhole: boolean
  /** Updates behind the snapshot, and the flushes that they came in. */
  tail: { updates: number; segments: number; bytes: number }
  snapshots: { seq: number; state: string; bytes: number; at: Date }[]
}

/** Everything about one document but its content, with a look at whether it is whole. */
export async function inspectRoom(sql: SQL, room: RoomSummary): Promise<RoomDetails> {
  const { instanceId, docId } = room
  const snapshots: RoomDetails['snapshots'] = await sql`
    select s.seq::float8 as seq, s.state, s.bytes, s.at from sync_room_snapshots s join sync_rooms r on r.id = s.room_id
    where r.instance_id = ${instanceId} and r.key = ${docId} order by s.seq`
  const [tail] = await sql`
    select coalesce(sum(s.n), 0)::float8 as updates, count(s.*)::float8 as segments,
      coalesce(sum(length(s.payload)), 0)::float8 as bytes
    from sync_room_segments s join sync_rooms r on r.id = s.room_id
    where r.instance_id = ${instanceId} and r.key = ${docId} and s.last_seq > r.snapshot_seq`
  const isWhole = room.kind === 'yjs' ? !(await loadRoom(sql, instanceId, docId)).damaged : await isLogWhole(sql, room)
  return { ...room, isWhole, tail, snapshots: [...snapshots] }
}

async function isLogWhole(sql: SQL, room: RoomSummary): Promise<boolean> {
  const { entries, whole } = await readEntries(sql, await idOf(sql, room), room.snapshotSeq, room.head)
  return whole && (entries.at(-1)?.seq ?? room.snapshotSeq) >= room.head
}

async function idOf(sql: SQL, { instanceId, docId }: RoomSummary): Promise<number> {
  const [row] = await sql`
    select id::float8 as id from sync_rooms where instance_id = ${instanceId} and key = ${docId}`
  return row?.id ?? -1
}

/** The updates of a plaintext document, oldest first; together they are the document. */
export async function readUpdates(sql: SQL, { instanceId, docId }: RoomSummary) {
  const { snapshot, tail, damaged } = await loadRoom(sql, instanceId, docId)
  return { updates: [...(snapshot ? [snapshot.update] : []), ...tail.map(({ bytes }) => bytes)], damaged }
}

/** What the server has of an encrypted document: nothing that it could read. */
export type SealedPart =
  | { object: 'key_params'; bytes: string }
  | { object: 'snapshot'; seq: number; epoch: number; bytes: number; sha256: string; chunks: string[] }
  | { object: 'envelope'; seq: number; at: number; envelope: string }

/** The live snapshot and every envelope behind it, in base64. */
export async function* readSealed(sql: SQL, room: RoomSummary): AsyncGenerator<SealedPart> {
  const id = await idOf(sql, room)
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  // What those who know a passphrase need to derive the key from it.
  const [{ keyParams } = { keyParams: null }] =
    await sql`select key_params as "keyParams" from sync_rooms where id = ${id}`
  if (keyParams) yield { object: 'key_params', bytes: base64(keyParams) }
  const live = await readSnapshotMeta(sql, id)
  if (live) {
    const { seq, epoch, size: bytes, sha256 } = live
    const chunks: string[] = []
    for (let n = 0; n < live.chunks; n++) chunks.push(base64((await readChunk(sql, id, seq, n)) ?? new Uint8Array()))
    yield { object: 'snapshot', seq, epoch, bytes, sha256: Buffer.from(sha256).toString('hex'), chunks }
  }
  for (let after = live?.seq ?? 0; ; ) {
    const { entries, whole } = await readEntries(sql, id, after, Number.MAX_SAFE_INTEGER, 4 * 1024 * 1024)
    for (const { seq, at, bytes } of entries) yield { object: 'envelope', seq, at, envelope: base64(bytes) }
    if (!whole || entries.length === 0) return
    after = entries.at(-1)?.seq ?? after
  }
}
