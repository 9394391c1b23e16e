import { and, eq, gt, isNull, or, sql } from 'drizzle-orm'
import { type Database, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId, randomBase62 } from '../../kernel/ids.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { hashToken, seal, unseal } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { machineSecretKeys, machines } from './tables.ts'

/** `ak_` and 43 characters that carry 256 bits. */
const newSecretKey = () => `ak_${randomBase62(43)}`
const isSecretKey = (value: string) => /^ak_[0-9A-Za-z]{43}$/.test(value)
const purpose = (machineId: string) => `machine_secret_key:${machineId}`
/** Seconds that a key which was replaced may live on: eight hours. */
const maxOverlap = 8 * 3600

/** Gives a machine its current key. @returns the key */
export async function insertSecretKey(tx: Tx, machineId: string): Promise<string> {
  const secretKey = newSecretKey()
  await tx.db.insert(machineSecretKeys).values({
    id: newId('machineSecretKey'),
    instanceId: tx.instance.id,
    machineId,
    keyHash: hashToken(secretKey),
    sealedKey: seal(tx.database.keyring, purpose(machineId), secretKey),
    createdAt: tx.now(),
  })
  return secretKey
}

/** The current key. @throws {UsherError} `forbidden` or `resource_not_found` */
export async function getSecretKey(ctx: Ctx | Tx, machineId: string): Promise<string> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db
      .select()
      .from(machineSecretKeys)
      .where(and(eq(machineSecretKeys.machineId, machineId), isNull(machineSecretKeys.expiresAt)))
    if (!row) throw notFound()
    return unseal(tx.database.keyring, purpose(machineId), row.sealedKey)
  })
}

/**
 * Gives a machine another key. Those before it live on for a while, and never longer than they would have.
 *
 * @param input.previousTokenTtl seconds, 0 to 28,800; 0 when the key is in wrong hands
 * @returns the new key
 * @throws {UsherError} `forbidden`, `resource_not_found` or `form_param_value_invalid`
 */
export async function rotateSecretKey(
  ctx: Ctx | Tx,
  input: { machineId: string; previousTokenTtl: number },
): Promise<string> {
  requireApplication(ctx)
  const { machineId, previousTokenTtl } = input
  if (!Number.isInteger(previousTokenTtl) || previousTokenTtl < 0 || previousTokenTtl > maxOverlap)
    throw new UsherError('form_param_value_invalid', `The key before lives on for 0 to ${maxOverlap} seconds.`, {
      param: 'previous_token_ttl',
    })
  return transaction(ctx, async (tx) => {
    // One rotation after the other: each must see the key of the one before.
    const [machine] = await tx.db.select().from(machines).where(eq(machines.id, machineId)).for('update')
    if (!machine) throw notFound()
    const end = new Date(tx.now().getTime() + previousTokenTtl * 1000)
    await tx.db
      .update(machineSecretKeys)
      .set({ expiresAt: sql`least(${machineSecretKeys.expiresAt}, ${end.toISOString()}::timestamptz)` })
      .where(eq(machineSecretKeys.machineId, machineId))
    const secretKey = await insertSecretKey(tx, machineId)
    emit(tx, { type: 'machine.updated', subject: machineId, data: { secret_rotated: true } })
    return secretKey
  })
}

/**
 * Whose secret key a bearer is. The instance follows from the key, so that this looks through all of them. Nothing is
 * held in memory: a key that was replaced or whose machine is gone is worthless from the commit on, on every node.
 */
export async function findMachineBySecretKey(
  database: Database,
  bearer: string,
  now: Date,
): Promise<{ machineId: string; instanceId: string } | undefined> {
  if (!isSecretKey(bearer)) return undefined
  const [found] = await database.system
    .select({ machineId: machineSecretKeys.machineId, instanceId: machineSecretKeys.instanceId })
    .from(machineSecretKeys)
    .where(
      and(
        eq(machineSecretKeys.keyHash, hashToken(bearer)),
        or(isNull(machineSecretKeys.expiresAt), gt(machineSecretKeys.expiresAt, now)),
      ),
    )
  return found
}

const notFound = () => new UsherError('resource_not_found', 'There is no such machine.')
