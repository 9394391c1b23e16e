import { CryptoError } from './errors.ts'

/**
 * The PADMÉ length of `length` bytes: at most 12 % more, and only as many different lengths as hide all but the
 * order of magnitude (E-6).
 *
 * @see Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019
 */
export function paddedLength(length: number): number {
  if (length < 2) return length
  const exponent = Math.floor(Math.log2(length))
  const kept = Math.floor(Math.log2(exponent)) + 1
  const step = 2 ** Math.max(0, exponent - kept)
  return Math.ceil(length / step) * step
}

/** Appends one byte 80 and zeros up to the PADMÉ length. */
export function pad(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(paddedLength(bytes.length + 1))
  padded.set(bytes)
  padded[bytes.length] = 0x80
  return padded
}

/** @throws {CryptoError} `malformed` for bytes that were not padded */
export function unpad(padded: Uint8Array): Uint8Array {
  let end = padded.length - 1
  while (end >= 0 && padded[end] === 0) end--
  if (end < 0 || padded[end] !== 0x80) throw new CryptoError('malformed', 'the padding is not one of ours')
  return padded.subarray(0, end)
}
