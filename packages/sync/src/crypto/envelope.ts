import { concat, u32, u64 } from './bytes.ts'
import { CryptoError } from './errors.ts'

/** What an envelope carries. The server reads this, and nothing of what is inside. */
export const envelopeKind = { update: 1, snapshot: 2, ephemeral: 3, keyRecord: 4, channel: 5 } as const

export const envelopeFlag = { commitment: 1, signature: 2, padded: 4 } as const
const knownFlags = 7

export const headerLength = 32
const commitmentLength = 16
const signatureLength = 64
const tagLength = 16

export type EnvelopeHeader = {
  kind: number
  flags: number
  epoch: number
  /** 16 bytes. */
  sessionId: Uint8Array
  counter: number
}

export type Envelope = EnvelopeHeader & {
  header: Uint8Array
  commitment: Uint8Array | undefined
  /** With its tag. */
  ciphertext: Uint8Array
  signature: Uint8Array | undefined
}

/** `55 31 | kind | flags | epoch u32 | session id | counter u64` */
export function encodeHeader({ kind, flags, epoch, sessionId, counter }: EnvelopeHeader): Uint8Array {
  return concat(new Uint8Array([0x55, 0x31, kind, flags]), u32(epoch), sessionId, u64(counter))
}

/** Cuts an envelope into its parts, none of which is believed yet.
 *
 * @throws {CryptoError} `malformed`
 */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  const malformed = () => new CryptoError('malformed', 'this is no envelope')
  if (bytes.length < headerLength + tagLength || bytes[0] !== 0x55 || bytes[1] !== 0x31) throw malformed()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const kind = view.getUint8(2)
  const flags = view.getUint8(3)
  if (kind < 1 || kind > 5 || (flags & ~knownFlags) !== 0) throw malformed()
  const counter = view.getBigUint64(24)
  if (counter > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed()
  const start = headerLength + (flags & envelopeFlag.commitment ? commitmentLength : 0)
  const end = bytes.length - (flags & envelopeFlag.signature ? signatureLength : 0)
  if (end - start < tagLength) throw malformed()
  return {
    kind,
    flags,
    epoch: view.getUint32(4),
    sessionId: bytes.subarray(8, 24),
    counter: Number(counter),
    header: bytes.subarray(0, headerLength),
    commitment: flags & envelopeFlag.commitment ? bytes.subarray(headerLength, start) : undefined,
    ciphertext: bytes.subarray(start, end),
    signature: flags & envelopeFlag.signature ? bytes.subarray(end) : undefined,
  }
}
