import { type Bytes, owned } from './bytes.ts'
import { CryptoError } from './errors.ts'

/** WebCrypto wraps keys only: the bytes travel as the key of an HMAC, which may have any length. */
const carrier = { name: 'HMAC', hash: 'SHA-256' }

const wrappingKey = (key: Uint8Array, usage: 'wrapKey' | 'unwrapKey') =>
  crypto.subtle.importKey('raw', owned(key), 'AES-KW', false, [usage])

/**
 * Wraps a key under another one (AES-KW, RFC 3394): 8 bytes longer, and any change is noticed.
 *
 * @param wrapping 32 bytes
 * @param key a multiple of 8 bytes, at least 16
 */
export async function wrapKey(wrapping: Uint8Array, key: Uint8Array): Promise<Bytes> {
  const carried = await crypto.subtle.importKey('raw', owned(key), carrier, true, ['sign'])
  return new Uint8Array(await crypto.subtle.wrapKey('raw', carried, await wrappingKey(wrapping, 'wrapKey'), 'AES-KW'))
}

/** @throws {CryptoError} `authentication` under another key, or after a change */
export async function unwrapKey(wrapping: Uint8Array, wrapped: Uint8Array): Promise<Bytes> {
  const key = await wrappingKey(wrapping, 'unwrapKey')
  try {
    const carried = await crypto.subtle.unwrapKey('raw', owned(wrapped), key, 'AES-KW', carrier, true, ['sign'])
    return new Uint8Array(await crypto.subtle.exportKey('raw', carried))
  } catch {
    throw new CryptoError('authentication', 'wrapped under another key, or altered')
  }
}

/**
 * Seals bytes under a key that is used for this kind of record only, bound to what it is for (AES-256-GCM, random nonce:
 * a handful of records a key, so that 96 bits are plenty).
 *
 * @returns `nonce 12 | ciphertext | tag 16`
 */
export async function sealBytes(key: Uint8Array, plaintext: Uint8Array, context: Uint8Array): Promise<Bytes> {
  const imported = await crypto.subtle.importKey('raw', owned(key), 'AES-GCM', false, ['encrypt'])
  const iv = crypto.getRandomValues(new Uint8Array(12))
  const algorithm = { name: 'AES-GCM', iv, additionalData: owned(context) }
  const ciphertext = await crypto.subtle.encrypt(algorithm, imported, owned(plaintext))
  const sealed = new Uint8Array(12 + ciphertext.byteLength)
  sealed.set(iv)
  sealed.set(new Uint8Array(ciphertext), 12)
  return sealed
}

/** @throws {CryptoError} `authentication` */
export async function openBytes(key: Uint8Array, sealed: Uint8Array, context: Uint8Array): Promise<Bytes> {
  const imported = await crypto.subtle.importKey('raw', owned(key), 'AES-GCM', false, ['decrypt'])
  const algorithm = { name: 'AES-GCM', iv: owned(sealed.subarray(0, 12)), additionalData: owned(context) }
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, imported, owned(sealed.subarray(12))))
  } catch {
    throw new CryptoError('authentication', 'sealed under another key or for something else, or altered')
  }
}
