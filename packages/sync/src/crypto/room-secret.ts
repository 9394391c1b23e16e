import { concat, equalBytes } from './bytes.ts'
import {
  decodeKeyParameters,
  deriveKey,
  encodeKeyParameters,
  type KeyCost,
  newKeyParameters,
  stretch,
} from './derive.ts'
import { type DocumentKeys, fixedDocumentKey } from './document-keys.ts'
import { CryptoError } from './errors.ts'
import { type LinkPayload, parseLink } from './link.ts'
import { deriveSessionKey, importDocumentKey } from './session-key.ts'

/** 32 random bytes: whoever has them reads and writes the room, and without them it is lost. */
export const newRoomSecret = (): Uint8Array => crypto.getRandomValues(new Uint8Array(32))

/** The document's key of a room with one secret for ever. */
export const roomKey = (secret: Uint8Array) => deriveKey(secret, 'usher/room/v1')

/** Four bytes that tell a wrong secret at once: the start of the commitment of a session that nobody ever has. */
export async function checkOf(key: Uint8Array, room: string, epoch = 0): Promise<Uint8Array> {
  const sessionId = new Uint8Array(16)
  const { commitment } = await deriveSessionKey(await importDocumentKey(key), { sessionId, room, epoch })
  return commitment.slice(0, 4)
}

/** Keys that wait for what the room says about how they are made. */
export type RoomKeys = DocumentKeys & {
  /**
   * Told what the room holds beside its log, undefined for a new one. Gives the bytes that a new room shall hold; if
   * somebody else was first, it is told theirs.
   *
   * @throws {CryptoError} `wrong_secret`, `weak_parameters` or `malformed`
   */
  parameters(stored: Uint8Array | undefined): Promise<Uint8Array | undefined>
}

/**
 * Keys of a room whose members know a passphrase. The salt and the cost stand with the room; the first who comes chooses
 * them.
 */
export function passphraseKeys(passphrase: string, options: { room: string; cost?: KeyCost }): RoomKeys {
  const { room, cost } = options
  let settle: (key: Uint8Array) => void
  let fail: (error: unknown) => void
  const ready = new Promise<Uint8Array>((resolve, reject) => {
    settle = resolve
    fail = reject
  })
  ready.catch(() => {})
  let key: Uint8Array | undefined
  let known: Uint8Array | undefined

  async function parameters(stored: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    if (stored && stored.length > 0) {
      if (known && equalBytes(known, stored)) return undefined
      // What frames are sealed under is the room's: ours of a moment ago were one proposal of two.
      const derived = await roomKey(await stretch(passphrase, decodeKeyParameters(stored.subarray(0, -4))))
      if (!equalBytes(stored.subarray(-4), await checkOf(derived, room)))
        throw new CryptoError('wrong_secret', 'this is not the passphrase of this room')
      known = stored.slice()
      key = derived
      settle(derived)
      return undefined
    }
    const proposed = newKeyParameters(cost)
    const derived = await roomKey(await stretch(passphrase, proposed))
    known = concat(encodeKeyParameters(proposed), await checkOf(derived, room))
    key = derived
    settle(derived)
    return known
  }

  return {
    async parameters(stored) {
      try {
        return await parameters(stored)
      } catch (error) {
        fail(error)
        throw error
      }
    },
    current: async () => ({ epoch: 0, key: key ?? (await ready) }),
    get: async (epoch) => (epoch === 0 ? (key ?? (await ready)) : undefined),
  }
}

/**
 * Keys of the room that a link or a QR code leads to.
 *
 * @param now milliseconds since 1970
 * @throws {CryptoError} `malformed`, `expired`, or `wrong_secret` if it was altered
 */
export async function linkKeys(
  link: string,
  now = Date.now(),
): Promise<{ keys: DocumentKeys; payload: Extract<LinkPayload, { kind: 'secret' }> }> {
  const payload = parseLink(link, now)
  if (payload.kind !== 'secret') throw new CryptoError('malformed', 'this link holds no secret of a room')
  const key = await roomKey(payload.secret)
  if (!equalBytes(payload.check, await checkOf(key, payload.room, payload.epoch)))
    throw new CryptoError('wrong_secret', 'this link was altered')
  return { payload, keys: fixedDocumentKey(key, payload.epoch) }
}
