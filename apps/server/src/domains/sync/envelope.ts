import { createHash } from 'node:crypto'
import { MalformedUpdate } from './walk-update.ts'

/** What an envelope carries: the one thing about it that the server knows, besides who sealed it when. */
export const envelopeKinds = { update: 1, snapshot: 2, ephemeral: 3, keyRecord: 4, channel: 5 } as const

const headerBytes = 32
const tagBytes = 16
const flags = { commitment: 1, signature: 2, padded: 4 } as const
const flagBytes = { commitment: 16, signature: 64 } as const
/** A session ends here: beyond it a key would have sealed too much. */
const lastCounter = 2 ** 24

export type EnvelopeHeader = {
  kind: number
  epoch: number
  /** The session that sealed it, as hexadecimal digits. */
  session: string
  counter: number
}

/**
 * Reads the header of an envelope. What follows is ciphertext and stays unread.
 *
 * @throws {MalformedUpdate} when it is none, or too short for what its flags promise
 */
export function readEnvelope(bytes: Uint8Array): EnvelopeHeader {
  if (bytes.length < headerBytes + tagBytes || bytes[0] !== 0x55 || bytes[1] !== 0x31)
    throw new MalformedUpdate('not an envelope')
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes)
  const kind = view.getUint8(2)
  const flagged = view.getUint8(3)
  if (kind < 1 || kind > 5) throw new MalformedUpdate('unknown kind of envelope')
  if ((flagged & ~(flags.commitment | flags.signature | flags.padded)) !== 0)
    throw new MalformedUpdate('unknown flags of an envelope')
  const extra =
    (flagged & flags.commitment ? flagBytes.commitment : 0) + (flagged & flags.signature ? flagBytes.signature : 0)
  if (bytes.length < headerBytes + extra + tagBytes) throw new MalformedUpdate('envelope too short')
  const counter = view.getBigUint64(24)
  if (counter > BigInt(lastCounter)) throw new MalformedUpdate('the session should have ended')
  return {
    kind,
    epoch: view.getUint32(4),
    session: Buffer.from(bytes.subarray(8, 24)).toString('hex'),
    counter: Number(counter),
  }
}

/** The chain of a log without entries: bound to the document, so that no log passes for another's. */
export function startChain(docId: string): Uint8Array {
  return createHash('sha256').update(`usher/e2ee/v1/chain\0${docId}`).digest()
}

/** The chain behind entry `seq`: whoever has the same one has seen the same entries in the same order (E-4). */
export function extendChain(chain: Uint8Array, seq: number, envelope: Uint8Array): Uint8Array {
  const number = Buffer.alloc(8)
  number.writeBigUInt64BE(BigInt(seq))
  const digest = createHash('sha256').update(envelope).digest()
  return createHash('sha256').update(chain).update(number).update(digest).digest()
}
