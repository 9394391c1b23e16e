import { sha256 } from '@noble/hashes/sha2.js'
import { concat, equalBytes, u32, utf8 } from '../crypto/bytes.ts'
import { CryptoError } from '../crypto/errors.ts'

const reasons = ['removal', 'role', 'compromise', 'device', 'age'] as const
export type RotationReason = (typeof reasons)[number]

/** What stands in the log where one epoch ends: sealed under its key, so that only those who had it could say so (E-9). */
export type KeyRecord = {
  epoch: number
  reason: RotationReason
  /** SHA-256 over the ids of all who got the new key. */
  members: Uint8Array
  /** SHA-256 of the new key. */
  keyHash: Uint8Array
}

export const hashOfMembers = (userIds: readonly string[]) =>
  sha256(utf8(`usher/members/v1\0${[...userIds].sort().join('\0')}`))
export const hashOfKey = (key: Uint8Array) => sha256(concat(utf8('usher/key/v1\0'), key))

/** `1 | epoch u32 | reason u8 | members 32 | key hash 32` */
export function encodeKeyRecord({ epoch, reason, members, keyHash }: KeyRecord): Uint8Array {
  return concat(new Uint8Array([1]), u32(epoch), new Uint8Array([reasons.indexOf(reason)]), members, keyHash)
}

/** @throws {CryptoError} `malformed` */
export function readKeyRecord(bytes: Uint8Array): KeyRecord {
  const reason = reasons[bytes[5] as number]
  if (bytes.length !== 70 || bytes[0] !== 1 || reason === undefined)
    throw new CryptoError('malformed', 'this is no record of a key')
  return {
    epoch: new DataView(bytes.buffer, bytes.byteOffset).getUint32(1),
    reason,
    members: bytes.slice(6, 38),
    keyHash: bytes.slice(38),
  }
}

/** Whether a key is the one that the record announces: the server can hand out no other. */
export const isKeyOf = (record: KeyRecord, epoch: number, key: Uint8Array) =>
  record.epoch === epoch && equalBytes(record.keyHash, hashOfKey(key))
