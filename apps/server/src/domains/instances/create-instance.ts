import type { Db } from '../../database/index.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId, randomBase62 } from '../../kernel/ids.ts'
import { hashToken, type Keyring, seal } from '../../kernel/secrets.ts'
import { seedAccess } from '../access/seed.ts'
import { applications, instances, secretKeys, signingKeys } from './tables.ts'

export type NewInstance = {
  name: string
  environment: 'development' | 'production'
  /** Null: the server's default instance, of which there is one. */
  host: string | null
  /** Adds the instance to an application; without it a new application is made. */
  applicationId?: string
}

/**
 * Creates an instance with its secret key, its signing key and the system roles and permissions.
 *
 * @param db a system transaction
 * @throws {UsherError} `duplicate_record` when the name or the host is taken
 */
export async function createInstance(
  db: Db,
  keyring: Keyring,
  input: NewInstance,
  now: Date,
): Promise<{ id: string; secretKey: string }> {
  const id = newId('instance')
  const secretKey = `sk_${input.environment === 'production' ? 'live' : 'test'}_${randomBase62(43)}`
  const signingKey = await generateSigningKey(keyring, id)
  try {
    const applicationId = input.applicationId ?? newId('application')
    if (!input.applicationId)
      await db.insert(applications).values({ id: applicationId, name: input.name, createdAt: now })
    const { name, environment, host } = input
    await db
      .insert(instances)
      .values({ id, applicationId, environment, name, host, settings: {}, createdAt: now, updatedAt: now })
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new UsherError('duplicate_record', 'An instance with this name or host exists already.')
  }
  await db.insert(secretKeys).values({
    id: newId('secretKey'),
    instanceId: id,
    keyHash: hashToken(secretKey),
    sealedKey: seal(keyring, `secret_key:${id}`, secretKey),
    createdAt: now,
  })
  await db.insert(signingKeys).values({ ...signingKey, instanceId: id, createdAt: now })
  await seedAccess(db, id, now)
  return { id, secretKey }
}

/** A new key pair, the private one sealed. */
export async function generateSigningKey(keyring: Keyring, instanceId: string) {
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  }
  const pair = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const { n = '', e = '' } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  const privateJwk = await crypto.subtle.exportKey('jwk', pair.privateKey)
  return {
    // One instance can have several over time, so the id is the key's own and not the instance's.
    id: `${instanceId}_${randomBase62(6)}`,
    algorithm: 'RS256' as const,
    state: 'active' as const,
    publicJwk: { kty: 'RSA', n, e },
    sealedPrivateKey: seal(keyring, `signing_key:${instanceId}`, JSON.stringify(privateJwk)),
  }
}
