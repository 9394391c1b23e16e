import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from '@hpke/core'
import { type Bytes, concat, owned } from './bytes.ts'
import { CryptoError } from './errors.ts'

// The curve that every WebCrypto has, browsers of managed machines included.
const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() })

/** Bytes of a P-256 point without compression. */
export const publicKeyLength = 65

export type KeyPair = { publicKey: Uint8Array; privateKey: CryptoKey }

/** A pair to which others seal. The private half can be exported only if asked for. */
export async function generateKeyPair(options: { extractable?: boolean } = {}): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' }, options.extractable ?? false, [
    'deriveBits',
  ])
  return {
    publicKey: new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)),
    privateKey: pair.privateKey,
  }
}

/** The private half as PKCS #8, to be sealed before it goes anywhere. */
export const exportPrivateKey = async (key: CryptoKey): Promise<Bytes> =>
  new Uint8Array(await crypto.subtle.exportKey('pkcs8', key))

export const importPrivateKey = (pkcs8: Uint8Array): Promise<CryptoKey> =>
  crypto.subtle.importKey('pkcs8', owned(pkcs8), { name: 'ECDH', namedCurve: 'P-256' }, false, ['deriveBits'])

/**
 * Seals to a public key, so that only its owner opens it (HPKE, RFC 9180, base mode). Says nothing about who sealed it.
 *
 * @param context what it is for: the same bytes are needed to open it
 * @returns `ephemeral public key 65 | ciphertext | tag 16`
 * @throws {CryptoError} `malformed` for bytes that are no public key
 */
export async function sealTo(publicKey: Uint8Array, plaintext: Uint8Array, context: Uint8Array): Promise<Bytes> {
  const recipientPublicKey = await suite.kem
    .deserializePublicKey(owned(publicKey))
    .catch(() => Promise.reject(new CryptoError('malformed', 'this is no public key')))
  const { enc, ct } = await suite.seal({ recipientPublicKey, info: owned(context).slice() }, owned(plaintext))
  return concat(new Uint8Array(enc), new Uint8Array(ct))
}

/**
 * Both halves are needed: from a private key that cannot be exported no library can tell the public one (the one below
 * guesses, and is wrong half the time), and it is part of what was sealed.
 *
 * @throws {CryptoError} `authentication` for another recipient or context, or after a change
 */
export async function openFrom(keys: KeyPair, sealed: Uint8Array, context: Uint8Array): Promise<Bytes> {
  const bytes = owned(sealed)
  try {
    const publicKey = await suite.kem.deserializePublicKey(owned(keys.publicKey))
    const recipientKey = { publicKey, privateKey: keys.privateKey }
    const head = { recipientKey, enc: bytes.slice(0, publicKeyLength), info: owned(context).slice() }
    return new Uint8Array(await suite.open(head, bytes.slice(publicKeyLength)))
  } catch {
    throw new CryptoError('authentication', 'sealed to somebody else or for something else, or altered')
  }
}
