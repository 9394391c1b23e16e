import { and, eq, gt, isNotNull, isNull, lte, type SQL } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { vaultPairings } from './tables.ts'

export type Pairing = typeof vaultPairings.$inferSelect

const lifetimeMs = 10 * 60_000
/** From the approval on: the person stands before both devices. */
const takeWithinMs = 60_000

/**
 * A new device of the caller's own waits for one that has the vault open.
 *
 * @param input.id base64url of SHA-256 of what the new device reveals later, 16 bytes
 * @throws {UsherError} `conflict`
 */
export async function createPairing(ctx: Ctx | Tx, input: { userId: string; id: string }): Promise<Pairing> {
  const { userId, id } = input
  try {
    return await transaction(ctx, async (tx) => {
      const now = tx.now()
      await tx.db.delete(vaultPairings).where(and(eq(vaultPairings.userId, userId), lte(vaultPairings.expiresAt, now)))
      const [made] = await tx.db
        .insert(vaultPairings)
        .values({ instanceId: tx.instance.id, id, userId, expiresAt: new Date(now.getTime() + lifetimeMs) })
        .returning()
      return made as Pairing
    })
  } catch (error) {
    if (isUniqueViolation(error)) throw new UsherError('conflict', 'There is such a pairing.')
    throw error
  }
}

/** As it stands, without what is sealed. @throws {UsherError} `resource_not_found`, for others than its person too */
export async function getPairing(ctx: Ctx | Tx, input: { userId: string; id: string }): Promise<Pairing> {
  return transaction(ctx, async (tx) => {
    const [found] = await tx.db.select().from(vaultPairings).where(isOpen(tx, input))
    return found ?? gone()
  })
}

/** Each step is taken once, and only after the one before it. */
const steps = {
  /** The old device: 32 random bytes, made after it has read the new one's public key. */
  offer: [isNull(vaultPairings.offer), isNull(vaultPairings.reveal)],
  /** The new device: what its id is the hash of. Only now both know the digits to compare. */
  reveal: [isNotNull(vaultPairings.offer), isNull(vaultPairings.reveal)],
  /** The old device, after somebody compared them. */
  sealed: [isNotNull(vaultPairings.reveal), isNull(vaultPairings.sealed)],
} as const satisfies Record<string, SQL[]>

/** @throws {UsherError} `resource_not_found`, or `conflict` if it is not this step's turn */
export async function advancePairing(
  ctx: Ctx | Tx,
  input: { userId: string; id: string; step: keyof typeof steps; value: string },
): Promise<Pairing> {
  const { userId, step, value } = input
  return transaction(ctx, async (tx) => {
    const [moved] = await tx.db
      .update(vaultPairings)
      .set({ [step]: value, ...(step === 'sealed' && { sealedAt: tx.now() }) })
      .where(and(isOpen(tx, input), ...steps[step]))
      .returning()
    if (!moved) {
      await getPairing(tx, input)
      throw new UsherError('conflict', 'It is not the turn of this step.')
    }
    if (step === 'sealed') emit(tx, { type: 'vault.deviceApproved', subject: userId, data: { user_id: userId } })
    return moved
  })
}

/**
 * What the old device sealed for the new one: once, and within a minute of the approval.
 *
 * @returns undefined as long as nobody has approved
 * @throws {UsherError} `resource_not_found`
 */
export async function takePairing(ctx: Ctx | Tx, input: { userId: string; id: string }): Promise<string | undefined> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const approvedSince = new Date(now.getTime() - takeWithinMs)
    const [taken] = await tx.db
      .update(vaultPairings)
      .set({ takenAt: now })
      .where(and(isOpen(tx, input), gt(vaultPairings.sealedAt, approvedSince)))
      .returning({ sealed: vaultPairings.sealed })
    if (taken?.sealed) {
      // Nothing is left to be read a second time, by whomever.
      await tx.db.update(vaultPairings).set({ sealed: '' }).where(isPairing(tx, input))
      return taken.sealed
    }
    const waiting = await getPairing(tx, input)
    // Approved since the statement above looked: it is there when it is next asked for.
    if (waiting.sealedAt && waiting.sealedAt <= approvedSince) gone()
    return undefined
  })
}

const isPairing = (tx: Tx, { userId, id }: { userId: string; id: string }) =>
  and(eq(vaultPairings.instanceId, tx.instance.id), eq(vaultPairings.id, id), eq(vaultPairings.userId, userId))

const isOpen = (tx: Tx, input: { userId: string; id: string }) =>
  and(isPairing(tx, input), isNull(vaultPairings.takenAt), gt(vaultPairings.expiresAt, tx.now()))

function gone(): never {
  throw new UsherError('resource_not_found', 'This pairing is over.')
}
