import { concat, owned, u16, u32, utf8 } from './bytes.ts'

const label = utf8('usher/e2ee/v1/frame\0')

/** What one sender of one epoch encrypts with, and the bytes that say which key that is (E-3). */
export type SessionKey = { key: CryptoKey; commitment: Uint8Array }

/** `u16(length) room`: how a room's name is bound to whatever belongs to it. */
export function roomBytes(room: string): Uint8Array {
  const name = utf8(room)
  return concat(u16(name.length), name)
}

/** Imported once an epoch, so that the raw key need not be touched for each session. */
export function importDocumentKey(key: Uint8Array): Promise<CryptoKey> {
  if (key.length !== 32) throw new RangeError('a document key has 32 bytes')
  return crypto.subtle.importKey('raw', owned(key), 'HKDF', false, ['deriveBits'])
}

/** `HKDF-SHA-256(document key, salt = session id, info = label, room, epoch)`: 32 bytes of key, 16 of commitment. */
export async function deriveSessionKey(
  documentKey: CryptoKey,
  input: { sessionId: Uint8Array; room: string; epoch: number },
): Promise<SessionKey> {
  const info = concat(label, roomBytes(input.room), u32(input.epoch))
  const bits = await crypto.subtle.deriveBits(
    { name: 'HKDF', hash: 'SHA-256', salt: owned(input.sessionId), info },
    documentKey,
    384,
  )
  const key = await crypto.subtle.importKey('raw', bits.slice(0, 32), 'AES-GCM', false, ['encrypt', 'decrypt'])
  return { key, commitment: new Uint8Array(bits, 32, 16) }
}
