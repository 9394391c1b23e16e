import { sha256 } from '@noble/hashes/sha2.js'
import { concat, toHex, utf8 } from '../crypto/bytes.ts'
import { VaultError } from './errors.ts'
import type { PublicKeys } from './identity.ts'

/** What is known of a person's keys since they were first seen, and whether somebody compared the safety number. */
export type Pin = { fingerprint: string; verified: boolean }

/** Where pins are kept. On this device: a server that keeps them could change them. */
export type PinStore = {
  get(userId: string): Promise<Pin | undefined>
  set(userId: string, pin: Pin): Promise<void>
}

export function memoryPins(): PinStore {
  const pins = new Map<string, Pin>()
  return {
    get: async (userId) => pins.get(userId),
    set: async (userId, pin) => {
      pins.set(userId, pin)
    },
  }
}

/** Pins in the browser's `localStorage`, or in something that is like it. */
export function storedPins(storage: Pick<Storage, 'getItem' | 'setItem'>, owner: string): PinStore {
  const name = (userId: string) => `usher.pin.${owner}.${userId}`
  return {
    get: async (userId) => {
      const text = storage.getItem(name(userId))
      return text === null ? undefined : JSON.parse(text)
    },
    set: async (userId, pin) => storage.setItem(name(userId), JSON.stringify(pin)),
  }
}

export const fingerprintOf = ({ publicKey, signPublicKey }: PublicKeys): string =>
  toHex(sha256(concat(utf8('usher/fingerprint/v1\0'), publicKey, signPublicKey)))

/**
 * Sixty digits that two people compare, by voice or side by side: the same on both devices, and different as soon as
 * the server gave one of them another key.
 */
export function safetyNumberOf(a: PublicKeys, b: PublicKeys): string {
  const [first, second] = [a, b].map((one) => `${one.userId}\0${fingerprintOf(one)}`).sort() as [string, string]
  const digest = sha256(utf8(`usher/safety/v1\0${first}\0${second}`))
  const digits = (BigInt(`0x${toHex(digest)}`) % 10n ** 60n).toString().padStart(60, '0')
  return (digits.match(/.{5}/g) as string[]).join(' ')
}

/**
 * Remembers keys that are seen for the first time, and refuses those that differ from what is known.
 *
 * @param trust `verified`: only people whose safety number was compared
 * @throws {VaultError} `key_changed` or `unverified`, with everybody whom it concerns
 */
export async function checkPins(
  pins: PinStore,
  people: readonly PublicKeys[],
  trust: 'first_use' | 'verified',
): Promise<void> {
  const changed: string[] = []
  const unverified: string[] = []
  const fresh: PublicKeys[] = []
  for (const person of people) {
    const pin = await pins.get(person.userId)
    if (!pin) fresh.push(person)
    else if (pin.fingerprint !== fingerprintOf(person)) changed.push(person.userId)
    if (trust === 'verified' && !pin?.verified) unverified.push(person.userId)
  }
  if (changed.length > 0)
    throw new VaultError('key_changed', 'The keys of somebody are not those that were known.', { userIds: changed })
  if (unverified.length > 0)
    throw new VaultError('unverified', 'Compare the safety numbers first.', { userIds: unverified })
  for (const person of fresh) await pins.set(person.userId, { fingerprint: fingerprintOf(person), verified: false })
}
