import { concat, u64 } from './bytes.ts'
import { CryptoError } from './errors.ts'

/** First byte of what updates and snapshots hold: the server never learns it (E-7). */
export const contentType = { yjs: 1, loro: 2, automerge: 3, app: 255 } as const

const prefixLength = 1 + 8 + 32

/** What stands inside of an update or a snapshot: what it is, and the log that its author had seen when making it. */
export type Content = {
  type: number
  /** Number of the last frame seen; 0 before the first. */
  seq: number
  /** Value of the chain at `seq`, 32 bytes. */
  chain: Uint8Array
  data: Uint8Array
}

/** `type u8 | seq u64 | chain 32 | data` (E-4, E-7). */
export function encodeContent({ type, seq, chain, data }: Content): Uint8Array {
  if (chain.length !== 32) throw new RangeError('a chain has 32 bytes')
  return concat(new Uint8Array([type]), u64(seq), chain, data)
}

/** @throws {CryptoError} `malformed` */
export function decodeContent(bytes: Uint8Array): Content {
  if (bytes.length < prefixLength) throw new CryptoError('malformed', 'too short for an update')
  const seq = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(1)
  if (seq > BigInt(Number.MAX_SAFE_INTEGER)) throw new CryptoError('malformed', 'no such frame')
  return {
    type: bytes[0] as number,
    seq: Number(seq),
    chain: bytes.subarray(9, prefixLength),
    data: bytes.subarray(prefixLength),
  }
}
