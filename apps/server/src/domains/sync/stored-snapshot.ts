import { createHash } from 'node:crypto'
import { FrameReader, writeVarUint } from './protocol.ts'
import type { ClockRange } from './walk-update.ts'

/**
 * `plain`: the document as it is. `parts`: each chunk is a part of the document that is compressed by itself, so that a
 * reader never holds more of it than the document and a few parts.
 */
export type SnapshotCodec = 'plain' | 'parts'

/** A document as its snapshot is stored. */
export type PackedSnapshot = {
  codec: SnapshotCodec
  /** Length of the document. */
  bytes: number
  chunks: Uint8Array[]
  /** Of the document; of `parts`, of the chunks as they are stored. */
  sha256: Uint8Array
  /** Which operations it holds, as {@link encodeClocks} has them. Absent: whoever opens it has to look. */
  clocks: Uint8Array | undefined
}

const partBytes = 256 * 1024
/** Below this compression saves less than it costs. */
const compressFrom = 64 * 1024

/** Compresses and hashes, which takes a while: for a worker. */
export function packSnapshot(document: Uint8Array, ranges?: readonly ClockRange[]): PackedSnapshot {
  const isLarge = document.length >= compressFrom
  const sha256 = createHash('sha256')
  const chunks: Uint8Array[] = []
  for (let at = 0; at < document.length; at += partBytes) {
    const part = document.subarray(at, at + partBytes)
    const chunk = isLarge ? new Uint8Array(Bun.zstdCompressSync(part as Uint8Array<ArrayBuffer>, { level: 1 })) : part
    sha256.update(chunk)
    chunks.push(chunk)
  }
  return {
    codec: isLarge ? 'parts' : 'plain',
    bytes: document.length,
    chunks,
    sha256: sha256.digest(),
    clocks: ranges && encodeClocks(ranges),
  }
}

/** Client, first clock and length of each range, and a CRC-32 of it all. */
export function encodeClocks(ranges: readonly ClockRange[]): Uint8Array {
  // A varUint of a clock has five bytes at most, one of a client eight.
  const bytes = new Uint8Array(18 * ranges.length + 4)
  let at = 0
  for (const { client, from, to } of ranges) {
    at = writeVarUint(bytes, at, client)
    at = writeVarUint(bytes, at, from)
    at = writeVarUint(bytes, at, to - from)
  }
  new DataView(bytes.buffer).setUint32(at, Bun.hash.crc32(bytes.subarray(0, at)))
  return bytes.slice(0, at + 4)
}

/** @returns undefined when the bytes are not what `encodeClocks` made */
export function decodeClocks(bytes: Uint8Array): ClockRange[] | undefined {
  const end = bytes.length - 4
  if (end < 0) return undefined
  const body = bytes.subarray(0, end)
  if (new DataView(bytes.buffer, bytes.byteOffset).getUint32(end) !== Bun.hash.crc32(body)) return undefined
  const ranges: ClockRange[] = []
  const reader = new FrameReader(body)
  while (!reader.done) {
    const [client, from] = [reader.uint(), reader.uint()]
    ranges.push({ client, from, to: from + reader.uint() })
  }
  return ranges
}
