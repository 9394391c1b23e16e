import { argon2idAsync } from '@noble/hashes/argon2.js'
import { type Bytes, concat, fromBase64url, owned, toBase64url, u32, utf8 } from './bytes.ts'
import { CryptoError } from './errors.ts'

/** How a key is made from something that people remember. Stored beside what the key opens; not secret. */
export type KeyParameters =
  | { kdf: 'argon2id'; memoryKiB: number; passes: number; lanes: number; salt: Uint8Array }
  | { kdf: 'pbkdf2'; iterations: number; salt: Uint8Array }

/**
 * `standard` takes a second or more in JavaScript, `light` a fifth of it and a third of the memory; `pbkdf2` is for where
 * memory cannot be had at all, and is said to be what it is.
 */
export type KeyCost = 'standard' | 'light' | 'pbkdf2'

/**
 * What this client computes with, whatever a server says: less would let it read along, more would hang the page.
 * The floor is OWASP's second choice of 2023 for Argon2id, and its number for PBKDF2.
 */
const limits = {
  memoryKiB: [19_456, 262_144],
  passes: [2, 10],
  lanes: [1, 4],
  iterations: [600_000, 5_000_000],
} as const

/** Parameters with a salt of their own. */
export function newKeyParameters(cost: KeyCost = 'standard'): KeyParameters {
  const salt = crypto.getRandomValues(new Uint8Array(16))
  if (cost === 'pbkdf2') return { kdf: 'pbkdf2', iterations: 600_000, salt }
  const [memoryKiB, passes] = cost === 'light' ? [19_456, 2] : [65_536, 3]
  return { kdf: 'argon2id', memoryKiB, passes, lanes: 1, salt }
}

/** @throws {CryptoError} `weak_parameters` for any outside of what this client accepts, too much as well as too little */
export function checkKeyParameters(parameters: KeyParameters): KeyParameters {
  const within = (name: keyof typeof limits, value: number) =>
    Number.isInteger(value) && value >= limits[name][0] && value <= limits[name][1]
  const fine =
    parameters.salt.length === 16 &&
    (parameters.kdf === 'argon2id'
      ? within('memoryKiB', parameters.memoryKiB) &&
        within('passes', parameters.passes) &&
        within('lanes', parameters.lanes)
      : within('iterations', parameters.iterations))
  if (!fine) throw new CryptoError('weak_parameters', 'these parameters of a key are not accepted')
  return parameters
}

/** `1 | kdf u8 | memory or iterations u32 | passes u8 | lanes u8 | salt 16`: 24 bytes. */
export function encodeKeyParameters(parameters: KeyParameters): Uint8Array {
  const isArgon = parameters.kdf === 'argon2id'
  return concat(
    new Uint8Array([1, isArgon ? 1 : 2]),
    u32(isArgon ? parameters.memoryKiB : parameters.iterations),
    new Uint8Array(isArgon ? [parameters.passes, parameters.lanes] : [0, 0]),
    parameters.salt,
  )
}

/** @throws {CryptoError} `malformed` or `weak_parameters` */
export function decodeKeyParameters(bytes: Uint8Array): KeyParameters {
  if (bytes.length !== 24 || bytes[0] !== 1 || (bytes[1] !== 1 && bytes[1] !== 2))
    throw new CryptoError('malformed', 'these are no parameters of a key')
  const cost = new DataView(bytes.buffer, bytes.byteOffset).getUint32(2)
  const salt = bytes.slice(8)
  return checkKeyParameters(
    bytes[1] === 1
      ? { kdf: 'argon2id', memoryKiB: cost, passes: bytes[6] as number, lanes: bytes[7] as number, salt }
      : { kdf: 'pbkdf2', iterations: cost, salt },
  )
}

export const keyParametersToText = (parameters: KeyParameters) => toBase64url(encodeKeyParameters(parameters))

/** @throws {CryptoError} `malformed` or `weak_parameters` */
export function keyParametersFromText(text: string): KeyParameters {
  return decodeKeyParameters(fromBase64url(text))
}

/**
 * 32 bytes from a password, which is put into the one form (NFKC) that all keyboards agree on.
 *
 * @throws {CryptoError} `weak_parameters`
 * @see RFC 9106, RFC 8018 §5.2
 */
export async function stretch(password: string, parameters: KeyParameters): Promise<Uint8Array> {
  checkKeyParameters(parameters)
  const secret = utf8(password.normalize('NFKC'))
  if (parameters.kdf === 'argon2id')
    return argon2idAsync(secret, parameters.salt, {
      m: parameters.memoryKiB,
      t: parameters.passes,
      p: parameters.lanes,
      dkLen: 32,
    })
  const key = await crypto.subtle.importKey('raw', secret, 'PBKDF2', false, ['deriveBits'])
  const { iterations, salt } = parameters
  return new Uint8Array(
    await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', iterations, salt: owned(salt) }, key, 256),
  )
}

/** HKDF-SHA-256 with an empty salt: one secret, and as many keys as there are names for their purposes. */
export async function deriveKey(secret: Uint8Array, purpose: string): Promise<Bytes> {
  const key = await crypto.subtle.importKey('raw', owned(secret), 'HKDF', false, ['deriveBits'])
  const algorithm = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info: utf8(purpose) }
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256))
}
