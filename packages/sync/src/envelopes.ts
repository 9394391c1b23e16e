import { concat } from './crypto/bytes.ts'
import { envelopeFlag, type Opened } from './crypto/index.ts'

export type Settled = { opened?: Opened; error?: unknown }

/** An outcome that nobody has to catch. */
export function settle(opening: Promise<Opened>): Promise<Settled> {
  return opening.then(
    (opened) => ({ opened }),
    (error: unknown) => ({ error }),
  )
}

/** Session and counter: what makes an envelope the same one. */
export function idOf(envelope: Uint8Array): string {
  let id = ''
  for (const byte of envelope.subarray(8, 32)) id += byte.toString(16).padStart(2, '0')
  return id
}

export async function digestOf(chunks: Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', concat(...chunks)))
}

/** Header, commitment and tag of an envelope. */
export const overhead = 64

export const paddingFlags = ({ padding }: { padding: boolean }) => ({ flags: padding ? envelopeFlag.padded : 0 })

/** How much fits into so many bytes when it is padded: PADMÉ adds at most 12 %, and one byte. */
export const unpaddedLength = (bytes: number, padding: boolean) => (padding ? Math.floor((bytes - 1) / 1.12) : bytes)
