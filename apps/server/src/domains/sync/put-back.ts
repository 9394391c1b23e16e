import type { SQL } from 'bun'
import type { EncryptedRoom } from './encrypted-room.ts'
import { startChain } from './envelope.ts'
import type { PlaintextRoom } from './plaintext-room.ts'
import type { Entry, Room } from './room.ts'
import { decodeSegment, encodeSegment } from './segment.ts'
import { appendSegments, createRoom, type RoomState, readNews } from './store.ts'

type Lost = { entries: readonly { bytes: Uint8Array; at: number }[]; chain: Uint8Array | undefined }

/**
 * Writes again what this node holds of a room and the database has lost: a replica that took its primary's place lacks
 * the last commits. Whoever writes the same again does no harm: an update counts once, and envelopes are only appended
 * to the very log that they belong to.
 *
 * @param room nothing is appended to it any more
 * @returns how many entries were put back
 */
export async function putBack(sql: SQL, room: Room): Promise<number> {
  if (room.id === undefined || room.incarnation === undefined || room.damaged || room.deleted) return 0
  let state = (await readNews(sql, room, 0))?.state
  if (!state) {
    const keyEpoch = room.kind === 'e2ee' ? (encrypted(room).tail[0]?.epoch ?? 0) : 0
    const made = await createRoom(sql, room.instanceId, room.key, room.kind, keyEpoch, room.incarnation)
    if (made.incarnation === room.incarnation) state = (await readNews(sql, room, 0))?.state
  }
  if (!state || state.deleted || state.kind !== room.kind || state.incarnation !== room.incarnation) return 0
  if (room.kind === 'e2ee') await putBackParams(sql, state, encrypted(room))
  const lost = room.kind === 'e2ee' ? lostEnvelopes(encrypted(room), state) : await lostUpdates(sql, room, state)
  if (!lost || lost.entries.length === 0) return 0
  const { chain } = lost
  const appended = await appendSegments(sql, [
    {
      roomId: state.id,
      incarnation: state.incarnation,
      n: lost.entries.length,
      expect: chain && { head: state.head, keyEpoch: state.keyEpoch, chain },
      ...encodeSegment(lost.entries),
    },
  ])
  return appended.has(state.id) ? lost.entries.length : 0
}

/**
 * The snapshot too, if it was made of what is lost: it is an update like others. Numbers do not tell what is there: a
 * node that noticed earlier may have given them to new updates.
 */
async function lostUpdates(sql: SQL, room: Room, { snapshotSeq, head }: RoomState): Promise<Lost> {
  const { snapshot, snapshotSeq: foldedSeq } = room as unknown as PlaintextRoom
  const committed = room.tail.slice(0, room.committed)
  const there = new Set<string>()
  const news = head > foldedSeq ? await readNews(sql, { ...room, head: foldedSeq }) : undefined
  for (const { payload, crc } of news?.segments ?? [])
    for (const { bytes } of decodeSegment(payload, crc) ?? []) there.add(textOf(bytes))
  const folded = snapshot && foldedSeq > snapshotSeq ? [{ bytes: snapshot, at: committed[0]?.at ?? 0 }] : []
  const lost = committed.filter(({ bytes }) => !there.has(textOf(bytes)))
  return { entries: [...folded, ...lost], chain: undefined }
}

const textOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

/** All of them or none: their numbers and their chain are what members remember. */
function lostEnvelopes(room: EncryptedRoom, { head, keyEpoch, chain }: RoomState): Lost | undefined {
  const here = room.chainAt(head)
  const there = head === 0 ? startChain(room.key) : chain
  const isSameLog = here !== undefined && there !== undefined && Buffer.compare(here, there) === 0
  if (!isSameLog || keyEpoch !== room.keyEpoch) return undefined
  const committed: Entry[] = room.tail.slice(0, room.committed)
  return { entries: committed.filter(({ seq }) => seq > head), chain: room.chain }
}

async function putBackParams(sql: SQL, { id, keyParams, head }: RoomState, room: EncryptedRoom): Promise<void> {
  if (!room.keyParams || keyParams || head > 0) return
  await sql`update sync_rooms set key_params = coalesce(key_params, ${Buffer.from(room.keyParams)}) where id = ${id}`
}

const encrypted = (room: Room) => room as unknown as EncryptedRoom
