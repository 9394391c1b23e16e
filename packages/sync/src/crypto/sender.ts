import { concat, owned, u64, utf8 } from './bytes.ts'
import { encodeHeader, envelopeFlag } from './envelope.ts'
import { CryptoError } from './errors.ts'
import { inOrder } from './in-order.ts'
import { pad } from './padding.ts'
import { deriveSessionKey, importDocumentKey, roomBytes } from './session-key.ts'

/** A session ends at these, far below where AES-GCM does (E-2). */
export const sessionLimits = { frames: 2 ** 24, bytes: 64 * 2 ** 30 } as const

const signatureLabel = utf8('usher/e2ee/v1/sig')

/** What a signature is over; ECDSA with SHA-256 hashes it. */
export const signedBytes = (additionalData: Uint8Array, ciphertext: Uint8Array) =>
  concat(signatureLabel, additionalData, ciphertext)

/** Four zero bytes and the counter: under a key of its own, a counter never repeats. */
export const nonceOf = (counter: number) => concat(new Uint8Array(4), u64(counter))

export type Sender = {
  /** 16 random bytes, made with the sender and stored nowhere. */
  readonly sessionId: Uint8Array
  readonly epoch: number
  /** How many more envelopes this session may seal. */
  readonly remaining: number
  /**
   * Seals what is given; many may be under way at once, and they come out in the order of the calls.
   *
   * @param kind one of `envelopeKind`
   * @param options.flags `envelopeFlag.signature` and `.padded`; the commitment is the sender's own matter
   * @throws {CryptoError} `exhausted` when the session is over
   */
  seal(kind: number, plaintext: Uint8Array, options?: { flags?: number }): Promise<Uint8Array>
}

/**
 * Begins a session: a key of its own under the document's key, and a counter that starts at 0 and lives in memory only
 * (E-2). Make one for each connection, and another one for ephemeral frames.
 *
 * @param input.sign ECDSA P-256 with SHA-256 over the given bytes, 64 bytes r and s (E-5)
 * @param input.commitment `first`: only the first envelope says which key it was made with. Saves 16 bytes each, but whoever
 *   begins to read in the middle of the session must know it already.
 */
export function createSender(input: {
  key: Uint8Array
  epoch: number
  room: string
  sign?: (message: Uint8Array) => Promise<Uint8Array>
  commitment?: 'always' | 'first'
  /** Lower limits, for tests of what happens at the end of a session. */
  limits?: { frames?: number; bytes?: number }
}): Sender {
  const { epoch, room, sign, commitment: commits = 'always' } = input
  const sessionId = crypto.getRandomValues(new Uint8Array(16))
  const session = importDocumentKey(input.key).then((key) => deriveSessionKey(key, { sessionId, room, epoch }))
  session.catch(() => {})
  const nameOfRoom = roomBytes(room)
  const maxFrames = Math.min(input.limits?.frames ?? sessionLimits.frames, sessionLimits.frames)
  const maxBytes = Math.min(input.limits?.bytes ?? sessionLimits.bytes, sessionLimits.bytes)
  const queue = inOrder()
  let frames = 0
  let bytes = 0

  async function work(kind: number, plaintext: Uint8Array, asked: number, counter: number): Promise<Uint8Array> {
    const committed = commits === 'always' || counter === 0
    const flags = (asked & (envelopeFlag.signature | envelopeFlag.padded)) | (committed ? envelopeFlag.commitment : 0)
    const { key, commitment } = await session
    const header = encodeHeader({ kind, flags, epoch, sessionId, counter })
    const additionalData = concat(header, nameOfRoom)
    const ciphertext = new Uint8Array(
      await crypto.subtle.encrypt(
        { name: 'AES-GCM', iv: nonceOf(counter), additionalData },
        key,
        owned(flags & envelopeFlag.padded ? pad(plaintext) : plaintext),
      ),
    )
    const parts = committed ? [header, commitment, ciphertext] : [header, ciphertext]
    if (flags & envelopeFlag.signature) {
      if (!sign) throw new CryptoError('signature', 'this sender has no key to sign with')
      parts.push(await sign(signedBytes(additionalData, ciphertext)))
    }
    return concat(...parts)
  }

  return {
    sessionId,
    epoch,
    get remaining() {
      return bytes >= maxBytes ? 0 : maxFrames - frames
    },
    async seal(kind, plaintext, options = {}) {
      if (frames >= maxFrames || bytes + plaintext.length > maxBytes)
        throw new CryptoError('exhausted', 'this session has sealed all it may')
      // Taken before anything is waited for: no two calls ever get the same one.
      const counter = frames++
      bytes += plaintext.length
      // A copy: the caller may go on writing into its buffer while we wait for the key.
      return queue(work(kind, plaintext.slice(), options.flags ?? 0, counter))
    },
  }
}
