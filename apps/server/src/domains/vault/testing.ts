import { createHash } from 'node:crypto'

const b64 = (bytes: ArrayBuffer | Uint8Array) => Buffer.from(bytes as Uint8Array).toString('base64url')

/** Somebody with keys: what a client makes, as far as the server can tell. Ciphertexts are random bytes. */
export async function person(userId: string) {
  const sign = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const seal = await crypto.subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' }, true, ['deriveBits'])
  const signed = async (...parts: string[]) =>
    b64(
      await crypto.subtle.sign(
        { name: 'ECDSA', hash: 'SHA-256' },
        sign.privateKey,
        Buffer.from(['usher/vault/v1', ...parts].join('\0')),
      ),
    )
  const random = (length: number) => b64(crypto.getRandomValues(new Uint8Array(length)))
  const publicKey = b64(await crypto.subtle.exportKey('raw', seal.publicKey))
  return {
    userId,
    signed,
    random,
    keys: {
      public_key: publicKey,
      sign_public_key: b64(await crypto.subtle.exportKey('raw', sign.publicKey)),
      key_signature: await signed('keys', userId, publicKey),
      private_keys: random(300),
    },
    wrap: (kind: 'password' | 'recovery' | 'passkey' | 'device' = 'password', name = '') => ({
      kind,
      name,
      sealed: random(60),
      ...(kind === 'password' && { parameters: random(24) }),
    }),
    grants: (docId: string, epoch: number, recipients: readonly string[]) =>
      Promise.all(
        recipients.map(async (recipient) => {
          const sealed = random(113)
          const signature = await signed('document_key', docId, String(epoch), recipient, sealed)
          return { userId: recipient, epoch, sealed, signature }
        }),
      ),
  }
}
export type Person = Awaited<ReturnType<typeof person>>

export const hashOf = (value: Uint8Array) => createHash('sha256').update(value).digest()
