import { createHmac, randomBytes } from 'node:crypto'
import { type Keyring, seal, unseal } from '../../kernel/secrets.ts'
import type { SealedSecret } from './tables.ts'

const prefix = 'whsec_'
const purpose = (endpointId: string) => `webhook_secret:${endpointId}`

/** A new signing secret: `whsec_` and 32 random bytes in base64, as Standard Webhooks spells symmetric ones. */
export function newSigningSecret(): string {
  return `${prefix}${randomBytes(32).toString('base64')}`
}

/** Whether a text is a signing secret: 24 to 64 bytes of base64 after the prefix. */
export function isSigningSecret(value: string): boolean {
  if (!/^whsec_[A-Za-z0-9+/]+={0,2}$/.test(value)) return false
  const { length } = keyOf(value)
  return length >= 24 && length <= 64
}

const keyOf = (secret: string) => Buffer.from(secret.slice(prefix.length), 'base64')

export function sealSecret(keyring: Keyring, endpointId: string, secret: string): SealedSecret {
  return { sealed: seal(keyring, purpose(endpointId), secret), expiresAt: null }
}

/** The secrets that sign at a moment, the newest first. */
export function openSecrets(keyring: Keyring, endpointId: string, secrets: SealedSecret[], now: Date): string[] {
  return secrets
    .filter((s) => s.expiresAt === null || Date.parse(s.expiresAt) > now.getTime())
    .map((s) => unseal(keyring, purpose(endpointId), s.sealed))
}

/**
 * The headers that say whom a delivery is from: under the names of Standard Webhooks and under those of Svix, which the
 * server SDK reads. There is a signature for each secret that counts, so that receivers can change theirs in their time.
 */
export function signatureHeaders(
  secrets: readonly string[],
  { id, timestamp, body }: { id: string; timestamp: number; body: string },
): Record<string, string> {
  const signature = secrets
    .map((secret) => `v1,${createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest('base64')}`)
    .join(' ')
  const time = String(timestamp)
  return {
    'svix-id': id,
    'svix-timestamp': time,
    'svix-signature': signature,
    'webhook-id': id,
    'webhook-timestamp': time,
    'webhook-signature': signature,
  }
}
