import { FrameReader, varUint } from './protocol.ts'

/** One stored flush of one room: version byte, then for each update `length, kind, sender, ms since the first, bytes`. */
const version = 1
const kindUpdate = 0

export type SegmentEntry = { bytes: Uint8Array; at: number }

/** @param entries in order; `at` in milliseconds, of any clock: what is stored is the distance from the first one */
export function encodeSegment(entries: readonly SegmentEntry[]): { payload: Uint8Array; crc: number } {
  const start = entries[0]?.at ?? 0
  const parts: (number[] | Uint8Array)[] = [[version]]
  let size = 1
  for (const { bytes, at } of entries) {
    // The sender stays 0 until a reader of the log needs to know who wrote what.
    const head = [kindUpdate, 0, ...varUint(Math.max(0, Math.round(at - start)))]
    const length = varUint(head.length + bytes.length)
    parts.push(length, head, bytes)
    size += length.length + head.length + bytes.length
  }
  const payload = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    payload.set(part, at)
    at += part.length
  }
  return { payload, crc: crcOf(payload) }
}

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
