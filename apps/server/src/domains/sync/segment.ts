import { FrameReader, varUintLength, writeVarUint } from './protocol.ts'

/** One stored flush of one room: version byte, then for each update `length, kind, sender, ms since the first, bytes`. */
const version = 1
const kindUpdate = 0

export type SegmentEntry = { bytes: Uint8Array; at: number }

/** @param entries in order; `at` in milliseconds, of any clock: what is stored is the distance from the first one */
export function encodeSegment(entries: readonly SegmentEntry[]): { payload: Uint8Array; crc: number } {
  const start = entries[0]?.at ?? 0
  let size = 1
  for (const entry of entries) {
    const length = lengthOf(entry, start)
    size += varUintLength(length) + length
  }
  const payload = new Uint8Array(size)
  payload[0] = version
  let to = 1
  for (const entry of entries) {
    to = writeVarUint(payload, to, lengthOf(entry, start))
    payload[to++] = kindUpdate
    // The sender stays 0 until a reader of the log needs to know who wrote what.
    payload[to++] = 0
    to = writeVarUint(payload, to, sinceStart(entry, start))
    payload.set(entry.bytes, to)
    to += entry.bytes.length
  }
  return { payload, crc: crcOf(payload) }
}

const sinceStart = ({ at }: SegmentEntry, start: number) => Math.max(0, Math.round(at - start))
const lengthOf = (entry: SegmentEntry, start: number) =>
  2 + varUintLength(sinceStart(entry, start)) + entry.bytes.length

/** @returns the entries, `at` since the first one; undefined when the bytes are not what was written */
export function decodeSegment(payload: Uint8Array, crc: number): SegmentEntry[] | undefined {
  if (crcOf(payload) !== crc || payload[0] !== version) return undefined
  const reader = new FrameReader(payload.subarray(1))
  const entries: SegmentEntry[] = []
  try {
    while (!reader.done) {
      const frame = reader.block()
      const inner = new FrameReader(frame)
      if (inner.uint() !== kindUpdate) return undefined
      inner.uint()
      const at = inner.uint()
      entries.push({ at, bytes: inner.remaining() })
    }
  } catch {
    return undefined
  }
  return entries
}

/** CRC-32 as a signed 32-bit number, which is what the column holds. */
function crcOf(bytes: Uint8Array): number {
  return Bun.hash.crc32(bytes) | 0
}
