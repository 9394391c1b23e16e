import { type Bytes, concat, equalBytes, fromBase64url, owned, toBase64url, u16, utf8 } from '../crypto/bytes.ts'
import { exportPrivateKey, generateKeyPair, importPrivateKey } from '../crypto/hpke.ts'
import { openBytes, sealBytes } from '../crypto/wrap.ts'
import type { PublicKeysJson } from './api.ts'
import { VaultError } from './errors.ts'

const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' }
const withSha256 = { name: 'ECDSA', hash: 'SHA-256' }

/** What a record is for, so that it is good for nothing else. Parts are ids and numbers, never with a NUL in them. */
export const context = (...parts: (string | number)[]): Bytes => utf8(['usher/vault/v1', ...parts].join('\0'))

export type PublicKeys = { userId: string; publicKey: Uint8Array; signPublicKey: Uint8Array }

/** A person's own keys, in memory as long as the vault is open. */
export type Identity = PublicKeys & {
  privateKey: CryptoKey
  /** 64 bytes, base64url, over `context(...parts)`. */
  sign(...parts: (string | number)[]): Promise<string>
  /** Over bytes as they are, for envelopes. */
  signBytes(message: Uint8Array): Promise<Uint8Array>
}

export type NewIdentity = {
  identity: Identity
  keys: { public_key: string; sign_public_key: string; key_signature: string; private_keys: string }
}

/** Makes a person's keys and seals the private ones under the user key. */
export async function createIdentity(
  ids: { instanceId: string; userId: string },
  userKey: Uint8Array,
): Promise<NewIdentity> {
  const { instanceId, userId } = ids
  const sealing = await generateKeyPair({ extractable: true })
  const signing = await crypto.subtle.generateKey(ecdsa, true, ['sign', 'verify'])
  const signPublicKey = new Uint8Array(await crypto.subtle.exportKey('raw', signing.publicKey))
  const parts = [await exportPrivateKey(sealing.privateKey), await exportPrivateKey(signing.privateKey)]
  const plaintext = concat(...[...parts, sealing.publicKey, signPublicKey].flatMap((part) => [u16(part.length), part]))
  const sealed = await sealBytes(userKey, plaintext, context('private_keys', instanceId, userId))
  const identity = await openIdentity(ids, userKey, sealed)
  const publicKey = toBase64url(sealing.publicKey)
  return {
    identity,
    keys: {
      public_key: publicKey,
      sign_public_key: toBase64url(signPublicKey),
      key_signature: await identity.sign('keys', userId, publicKey),
      private_keys: toBase64url(sealed),
    },
  }
}

/** @throws {CryptoError} `authentication` under another user key */
export async function openIdentity(
  { instanceId, userId }: { instanceId: string; userId: string },
  userKey: Uint8Array,
  sealed: Uint8Array,
): Promise<Identity> {
  const plaintext = await openBytes(userKey, sealed, context('private_keys', instanceId, userId))
  const parts: Uint8Array[] = []
  for (let at = 0; at < plaintext.length; ) {
    const end = at + 2 + new DataView(plaintext.buffer).getUint16(at)
    parts.push(plaintext.slice(at + 2, end))
    at = end
  }
  const [sealing, signing, publicKey, signPublicKey] = parts as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const privateKey = await importPrivateKey(sealing)
  const signKey = await crypto.subtle.importKey('pkcs8', owned(signing), ecdsa, false, ['sign'])
  const signBytes = async (message: Uint8Array) =>
    new Uint8Array(await crypto.subtle.sign(withSha256, signKey, owned(message)))
  return {
    userId,
    publicKey,
    signPublicKey,
    privateKey,
    signBytes,
    sign: async (...parts) => toBase64url(await signBytes(context(...parts))),
  }
}

/** Whether somebody's signing key made a signature over `context(...parts)`. */
export async function isSignedBy(
  { signPublicKey }: PublicKeys,
  signature: string,
  ...parts: (string | number)[]
): Promise<boolean> {
  return isSignatureOf(signPublicKey, fromBase64url(signature), context(...parts))
}

async function isSignatureOf(signPublicKey: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean> {
  const key = await crypto.subtle.importKey('raw', owned(signPublicKey), ecdsa, false, ['verify'])
  return crypto.subtle.verify(withSha256, key, owned(signature), owned(message))
}

/** Public keys as the server tells them. @throws {VaultError} `forged` unless one is signed by the other */
export async function readPublicKeys(json: PublicKeysJson): Promise<PublicKeys> {
  const keys = {
    userId: json.user_id,
    publicKey: fromBase64url(json.public_key),
    signPublicKey: fromBase64url(json.sign_public_key),
  }
  if (!(await isSignedBy(keys, json.key_signature, 'keys', keys.userId, json.public_key)))
    throw new VaultError('forged', 'The public keys of somebody do not fit each other.', { userIds: [keys.userId] })
  return keys
}

export const isSamePerson = (a: PublicKeys, b: PublicKeys) =>
  a.userId === b.userId && equalBytes(a.publicKey, b.publicKey) && equalBytes(a.signPublicKey, b.signPublicKey)
