import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'

/** A key that seals what must be read back. The id travels with the sealed text, so that keys can rotate. */
type KeyringKey = { id: string; key: Buffer }

/** The keys of `USHER_SECRET`: the first seals, all of them open. */
export type Keyring = { keys: readonly [KeyringKey, ...KeyringKey[]] }

/**
 * Reads `USHER_SECRET`: `id:secret` entries separated by commas, newest first. An entry without an id has the id `1`.
 *
 * @param secret each entry's secret is at least 32 characters of your own randomness
 * @throws {Error} in words for the operator; never with the secret in them
 */
export function parseKeyring(secret: string): Keyring {
  const keys = secret.split(',').map((entry) => {
    const [, id = '1', value = ''] = entry.trim().match(/^(?:([a-z0-9]{1,16}):)?(.*)$/s) ?? []
    if (value.length < 32) throw new Error('every key in USHER_SECRET must have at least 32 characters')
    return { id, key: Buffer.from(hkdfSync('sha256', value, '', 'usher/seal/v1', 32)) }
  })
  const [first, ...rest] = keys
  if (!first) throw new Error('USHER_SECRET is empty')
  if (new Set(keys.map((k) => k.id)).size !== keys.length) throw new Error('USHER_SECRET names one key id twice')
  return { keys: [first, ...rest] }
}

/**
 * Encrypts a value for storage with AES-256-GCM.
 *
 * @param purpose what the value is, e.g. `signing_key:ins_1`; it is authenticated, so that a sealed value cannot be
 *   moved to another row or column
 */
export function seal(keyring: Keyring, purpose: string, plaintext: string): string {
  const { id, key } = keyring.keys[0]
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(purpose))
  const body = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()])
  return `u1.${id}.${iv.toString('base64url')}.${body.toString('base64url')}`
}

/** Opens what {@link seal} made. @throws {Error} when no key opens it or the purpose differs */
export function unseal(keyring: Keyring, purpose: string, sealed: string): string {
  const [version, id, iv, body] = sealed.split('.')
  const key = keyring.keys.find((k) => k.id === id)
  if (version !== 'u1' || !key || !iv || !body) throw new Error('no key of USHER_SECRET opens this value')
  const bytes = Buffer.from(body, 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', key.key, Buffer.from(iv, 'base64url'))
    .setAAD(Buffer.from(purpose))
    .setAuthTag(bytes.subarray(-16))
  return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString('utf8')
}

/**
 * A key for one purpose, made from a key of the keyring, for keyed hashes that the database alone cannot check.
 *
 * @param id of the keyring's key; absent: the one that seals. What is stored has to keep the id
 * @returns undefined when the keyring has no such key any more
 */
export function purposeKey(keyring: Keyring, purpose: string, id = keyring.keys[0].id): Buffer | undefined {
  const known = keyring.keys.find((k) => k.id === id)
  return known && createHmac('sha256', known.key).update(`usher/${purpose}/v1`).digest()
}

/** The keys for one purpose of all keys of the keyring: the first signs, each of them is believed. */
export function purposeKeys(keyring: Keyring, purpose: string): Buffer[] {
  return keyring.keys.map(({ id }) => purposeKey(keyring, purpose, id) as Buffer)
}

/** SHA-256 in hex: how high-entropy tokens are stored, which need not be read back. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

/** A bearer value of 256 random bits, base64url. */
export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

/** Compares two strings in a time that does not depend on where they differ. */
export function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}
