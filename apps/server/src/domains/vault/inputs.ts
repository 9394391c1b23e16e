import { z } from 'zod'

/** base64url of between `min` and `max` bytes. */
const encoded = (min: number, max = min) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/)
    .refine((text) => {
      const bytes = Math.floor((text.length * 3) / 4)
      return bytes >= min && bytes <= max
    })

/** Whole numbers that the database keeps. */
const counter = (min: number) => z.coerce.number().int().min(min).max(0x7fffffff)
/** Of a document's key. */
export const Epoch = counter(0)
export const VaultVersion = counter(1)

/**
 * Which passkey (the id of its credential, up to 1023 bytes) or which device. What is signed is joined by NULs, and what people
 * read must not turn what stands around it.
 */
export const WrapName = z
  .string()
  .max(1400)
  .refine((text) => text.isWellFormed() && !/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(text))

export const PublicKey = encoded(65)
export const Signature = encoded(64)
export const PairingId = encoded(16)
export const PairingValue = encoded(32)
/** What a new device gets: the user key under HPKE, which is far shorter than this. */
export const SealedUserKey = encoded(28, 400)

export const VaultWrap = z
  .strictObject({
    kind: z.enum(['password', 'recovery', 'passkey', 'device']),
    name: WrapName.default(''),
    parameters: encoded(1, 100).nullish(),
    sealed: encoded(28, 400),
  })
  .refine(({ kind, name }) => (kind === 'password' || kind === 'recovery' ? name === '' : name !== ''))
export type VaultWrap = z.infer<typeof VaultWrap>

export const VaultKeys = z.strictObject({
  public_key: PublicKey,
  sign_public_key: PublicKey,
  key_signature: Signature,
  private_keys: encoded(64, 1024),
})
export type VaultKeys = z.infer<typeof VaultKeys>

/** A document's key for one person: `enc 65 | ciphertext 32 | tag 16` under HPKE. */
export const KeyGrant = z
  .strictObject({
    user_id: z.string().min(1).max(64),
    epoch: Epoch,
    sealed: encoded(113),
    signature: Signature,
  })
  .transform(({ user_id: userId, ...grant }) => ({ userId, ...grant }))
export type KeyGrant = z.infer<typeof KeyGrant>

/** As many as a body holds. Of more people and epochs several requests tell. */
export const KeyGrants = z.array(KeyGrant).min(1).max(700)

/** SHA-256 of a key. */
export const KeyHash = encoded(32)

/** An envelope of kind 4, under the key that is replaced. */
export const KeyRecord = encoded(48, 4096)
