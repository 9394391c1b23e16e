import { sha256 } from '@noble/hashes/sha2.js'
import { concat, equalBytes, utf8 } from './bytes.ts'
import { CryptoError } from './errors.ts'

/** Crockford's: no letters that look like digits, and none that spell words. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** What tells a mistyped code from a wrong one. */
export const recoveryChecksum = (secret: Uint8Array) =>
  sha256(concat(utf8('usher/recovery/v1\0'), secret)).subarray(0, 2)

/** 20 random bytes: nobody guesses them, so they need no stretching. */
export const newRecoverySecret = (): Uint8Array => crypto.getRandomValues(new Uint8Array(20))

/** Nine groups of four: 160 bits, 16 of checksum, and four that are zero. */
export function formatRecoveryCode(secret: Uint8Array): string {
  if (secret.length !== 20) throw new RangeError('a recovery secret has 20 bytes')
  let value = 0n
  for (const byte of concat(secret, recoveryChecksum(secret))) value = (value << 8n) | BigInt(byte)
  value <<= 4n
  let text = ''
  for (let shift = 175n; shift >= 0n; shift -= 5n) text += alphabet[Number((value >> shift) & 31n)]
  return (text.match(/.{4}/g) as string[]).join('-')
}

/**
 * Reads a code as people type it: in any case, with or without separators, with O for 0 and I or L for 1.
 *
 * @throws {CryptoError} `wrong_code` for one that was mistyped
 */
export function parseRecoveryCode(text: string): Uint8Array {
  const typed = text.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
  const wrong = () => new CryptoError('wrong_code', 'this code was mistyped')
  if (typed.length !== 36) throw wrong()
  let value = 0n
  for (const character of typed) {
    const digit = alphabet.indexOf(character)
    if (digit < 0) throw wrong()
    value = (value << 5n) | BigInt(digit)
  }
  if ((value & 15n) !== 0n) throw wrong()
  value >>= 4n
  const bytes = new Uint8Array(22)
  for (let i = 21; i >= 0; i--) {
    bytes[i] = Number(value & 255n)
    value >>= 8n
  }
  const secret = bytes.slice(0, 20)
  if (!equalBytes(bytes.subarray(20), recoveryChecksum(secret))) throw wrong()
  return secret
}
