import { and, eq, lt } from 'drizzle-orm'
import type { Db } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Keyring } from '../../kernel/secrets.ts'
import { generateSigningKey } from './create-instance.ts'
import { instances, signingKeys } from './tables.ts'

/** Verifiers hold a key set for five minutes; clocks differ by some seconds. */
const keySetCacheMs = 10 * 60_000

export type RotateInput = {
  instanceId: string
  /** Seconds that anything which the old key signed can still be valid. */
  longestLifetime: number
  /** The old keys are known to somebody: whatever they signed is worth nothing from now on. */
  revoke?: boolean
}

export type Rotation = {
  kid: string
  /** The keys that signed before. Null: they are gone. */
  retiring: { kid: string; until: Date | null }[]
}

/**
 * Gives an instance a new signing key. What the one before it signed stays valid: it is kept, in the key set too, until
 * the last of that has expired and verifiers had time to notice the new one.
 *
 * @param db a system transaction
 * @throws {UsherError} `resource_not_found`
 */
export async function rotateSigningKey(db: Db, keyring: Keyring, input: RotateInput, now: Date): Promise<Rotation> {
  const { instanceId, longestLifetime, revoke } = input
  // Of two rotations at once the second replaces the first one's key.
  const [instance] = await db
    .select({ id: instances.id })
    .from(instances)
    .where(eq(instances.id, instanceId))
    .for('update')
  if (!instance) throw new UsherError('resource_not_found', 'There is no such instance.')
  const retiredAt = new Date(now.getTime() + longestLifetime * 1000 + keySetCacheMs)
  const old = revoke
    ? await db.delete(signingKeys).where(eq(signingKeys.instanceId, instanceId)).returning({ id: signingKeys.id })
    : await db
        .update(signingKeys)
        .set({ state: 'retiring', retiredAt })
        .where(and(eq(signingKeys.instanceId, instanceId), eq(signingKeys.state, 'active')))
        .returning({ id: signingKeys.id })
  const made = await generateSigningKey(keyring, instanceId)
  await db.insert(signingKeys).values({ ...made, instanceId, createdAt: now })
  return { kid: made.id, retiring: old.map(({ id }) => ({ kid: id, until: revoke ? null : retiredAt })) }
}

/** Deletes keys that nothing valid was signed with. @returns the instances that lost one */
export async function deleteRetiredKeys(db: Db, now: Date): Promise<string[]> {
  const gone = await db
    .delete(signingKeys)
    .where(and(eq(signingKeys.state, 'retiring'), lt(signingKeys.retiredAt, now)))
    .returning({ instanceId: signingKeys.instanceId })
  return [...new Set(gone.map((k) => k.instanceId))]
}
