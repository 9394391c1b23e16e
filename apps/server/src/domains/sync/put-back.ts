import type { SQL } from 'bun'
import { NoAnswer } from '../../kernel/in-time.ts'
import type { EncryptedRoom } from './encrypted-room.ts'
import { startChain } from './envelope.ts'
import type { PlaintextRoom } from './plaintext-room.ts'
import type { Entry, Room } from './room.ts'
import { decodeSegment, encodeSegment } from './segment.ts'
import { appendSegments, createRoom, type RoomState, readNews } from './store.ts'

type Lost = { entries: readonly { bytes: Uint8Array; at: number }[]; chain: Uint8Array | undefined }

/** Others put back the same at the same moment. */
const attempts = 10

/**
 * Writes again what this node holds of a room and the database has lost: a replica that took its primary's place lacks
 * the last commits. Whoever writes the same again does no harm: an update counts once, and envelopes are only appended
 * to the very log that they belong to.
 *
 * @param room nothing is appended to it any more
 * @returns how many entries were put back; `another log`: envelopes were lost, and what the database has of the log is
 *   not its beginning
 */
export async function putBack(sql: SQL, room: Room): Promise<number | 'another log'> {
  if (room.id === undefined || room.incarnation === undefined || room.damaged || room.deleted) return 0
  for (let i = 0; i < attempts; i++) {
    const state = await stateOf(sql, room)
    if (!state || state.deleted || state.kind !== room.kind) return 0
    if (room.kind === 'e2ee') {
      if (state.incarnation !== room.incarnation) return 'another log'
      await putBackParams(sql, state, encrypted(room))
    }
    const lost =
      room.kind === 'e2ee' ? await lostEnvelopes(sql, encrypted(room), state) : await lostUpdates(sql, room, state)
    if (!lost) return 'another log'
    if (lost.entries.length === 0) return 0
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
    if (appended.has(state.id)) return lost.entries.length
  }
  throw new NoAnswer('others write to the document all the time')
}

/** The room as the database has it; made again under its own identity when it has none. */
async function stateOf(sql: SQL, room: Room): Promise<RoomState | undefined> {
  const there = await readNews(sql, room, 0)
  if (there) return there.state
  const keyEpoch = room.kind === 'e2ee' ? (encrypted(room).tail[0]?.epoch ?? 0) : 0
  await createRoom(sql, room.instanceId, room.key, room.kind, keyEpoch, room.incarnation)
  return (await readNews(sql, room, 0))?.state
}

/**
 * The snapshot too, if it was made of what is lost: it is an update like others. Numbers do not tell what is there: a
 * node that noticed earlier may have given them to new updates, or have made the document anew.
 */
async function lostUpdates(sql: SQL, room: Room, { snapshotSeq, incarnation }: RoomState): Promise<Lost> {
  const { snapshot, snapshotSeq: foldedSeq } = room as unknown as PlaintextRoom
  const isSameLog = incarnation === room.incarnation
  const committed = room.tail.slice(0, room.committed)
  const there = await readEntries(sql, room, isSameLog ? Math.min(foldedSeq, snapshotSeq) : 0)
  const isFoldThere = isSameLog && foldedSeq <= snapshotSeq
  const folded = snapshot && !isFoldThere ? [{ bytes: snapshot, at: committed[0]?.at ?? 0 }] : []
  return { entries: [...folded, ...committed].filter(({ bytes }) => !there.has(textOf(bytes))), chain: undefined }
}

/** The bytes of what the database has behind a number, as texts. */
async function readEntries(sql: SQL, { instanceId, key }: Room, head: number): Promise<Set<string>> {
  const there = new Set<string>()
  const news = await readNews(sql, { instanceId, key, head })
  for (const { payload, crc } of news?.segments ?? [])
    for (const { bytes } of decodeSegment(payload, crc) ?? []) there.add(textOf(bytes))
  return there
}

const textOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

/** All of them or none: their numbers and their chain are what members remember. */
async function lostEnvelopes(sql: SQL, room: EncryptedRoom, state: RoomState): Promise<Lost | undefined> {
  const { head, keyEpoch, chain } = state
  const committed: Entry[] = room.tail.slice(0, room.committed)
  if (head >= room.head) {
    const stored = await readEntries(sql, room as unknown as Room, room.baseSeq)
    const isThere = committed.every(({ bytes }) => stored.has(textOf(bytes)))
    return isThere ? { entries: [], chain: undefined } : undefined
  }
  const here = room.chainAt(head)
  const there = head === 0 ? startChain(room.key) : chain
  const isSameLog = here !== undefined && there !== undefined && Buffer.compare(here, there) === 0
  if (!isSameLog || keyEpoch !== room.keyEpoch) return undefined
  return { entries: committed.filter(({ seq }) => seq > head), chain: room.chain }
}

async function putBackParams(sql: SQL, { id, keyParams, head }: RoomState, room: EncryptedRoom): Promise<void> {
  if (!room.keyParams || keyParams || head > 0) return
  await sql`update sync_rooms set key_params = coalesce(key_params, ${Buffer.from(room.keyParams)}) where id = ${id}`
}

const encrypted = (room: Room) => room as unknown as EncryptedRoom
