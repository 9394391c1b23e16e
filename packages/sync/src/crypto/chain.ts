import { sha256 } from '@noble/hashes/sha2.js'
import { concat, owned, u64, utf8 } from './bytes.ts'

/** Above this many bytes WebCrypto is faster, below it waiting for its answer costs more than the hash. */
const worthAsking = 16_384

/** `H_0 = SHA-256("usher/e2ee/v1/chain" 00 room)` */
export function startChain(room: string): Uint8Array {
  return sha256(concat(utf8('usher/e2ee/v1/chain\0'), utf8(room)))
}

/**
 * `H_n = SHA-256(H_{n-1} || u64 n || SHA-256(envelope_n))` for envelopes that follow each other (E-4): the same log, in
 * the same order and without a gap, or another value.
 *
 * @param first number of the first of the envelopes, from 1
 * @returns the value after each of them
 */
export async function extendChain(
  head: Uint8Array,
  first: number,
  envelopes: readonly Uint8Array[],
): Promise<Uint8Array[]> {
  const digests = await Promise.all(
    envelopes.map(async (envelope) =>
      envelope.length < worthAsking
        ? sha256(envelope)
        : new Uint8Array(await crypto.subtle.digest('SHA-256', owned(envelope))),
    ),
  )
  const values: Uint8Array[] = []
  for (const [i, digest] of digests.entries()) {
    values.push(sha256(concat(values.at(-1) ?? head, u64(first + i), digest)))
  }
  return values
}
