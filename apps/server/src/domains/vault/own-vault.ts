import { and, eq, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newToken } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import type { VaultKeys, VaultWrap } from './inputs.ts'
import { isSigned } from './signed.ts'
import { vaultDocumentKeys, vaults, vaultWraps } from './tables.ts'

export type Vault = typeof vaults.$inferSelect & {
  /** What opens it, without what is sealed: that is handed out one at a time, and counted. */
  wraps: Pick<typeof vaultWraps.$inferSelect, 'kind' | 'name' | 'createdAt'>[]
}

/** Wraps that nobody has shown to have opened, in one window. */
const openReadsAllowed = 10
const windowMinutes = 60
/** Ways into one vault: each look at it lists them all. */
export const maxWraps = 100

export async function findVault(ctx: Ctx | Tx, userId: string): Promise<Vault | undefined> {
  return transaction(ctx, async (tx) => {
    const [[vault], wraps] = await Promise.all([
      tx.db.select().from(vaults).where(eq(vaults.userId, userId)),
      tx.db
        .select({ kind: vaultWraps.kind, name: vaultWraps.name, createdAt: vaultWraps.createdAt })
        .from(vaultWraps)
        .where(eq(vaultWraps.userId, userId))
        .orderBy(vaultWraps.createdAt, vaultWraps.kind),
    ])
    return vault && { ...vault, wraps }
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getVault(ctx: Ctx | Tx, userId: string): Promise<Vault> {
  const vault = await findVault(ctx, userId)
  if (!vault) throw new UsherError('resource_not_found', 'This person has no vault.')
  return vault
}

/**
 * Keeps a person's keys. There is one vault a person, and the first stays.
 *
 * @throws {UsherError} `conflict` if there is one, `form_param_value_invalid` if the public key is not signed by the other
 *   or two wraps have one name
 */
export async function createVault(
  ctx: Ctx | Tx,
  input: { userId: string; keys: VaultKeys; wraps: readonly VaultWrap[] },
): Promise<Vault> {
  const { userId, keys, wraps } = input
  if (!(await isSigned(keys.sign_public_key, ['keys', userId, keys.public_key], keys.key_signature)))
    throw new UsherError('form_param_value_invalid', 'The keys do not fit each other.', { param: 'key_signature' })
  if (new Set(wraps.map(({ kind, name }) => `${kind} ${name}`)).size < wraps.length || wraps.length > maxWraps)
    throw new UsherError('form_param_value_invalid', 'Each way into a vault has a name of its own.', { param: 'wraps' })
  try {
    return await transaction(ctx, async (tx) => {
      const now = tx.now()
      const instanceId = tx.instance.id
      await tx.db.insert(vaults).values({
        userId,
        instanceId,
        publicKey: keys.public_key,
        signPublicKey: keys.sign_public_key,
        keySignature: keys.key_signature,
        privateKeys: keys.private_keys,
        windowStartedAt: now,
        createdAt: now,
        updatedAt: now,
      })
      await tx.db.insert(vaultWraps).values(wraps.map((wrap) => ({ ...wrap, userId, instanceId, createdAt: now })))
      emit(tx, { type: 'vault.created', subject: userId, data: { user_id: userId } })
      return getVault(tx, userId)
    })
  } catch (error) {
    if (isUniqueViolation(error, 'vaults_pkey')) throw new UsherError('conflict', 'This person has a vault.')
    throw error
  }
}

/**
 * Hands out a wrapped user key. Whoever gets it can guess at its password for as long as they like, so each time is
 * counted before, and told; showing that it was opened gives the count back (`confirmUnlock`).
 *
 * @throws {UsherError} `resource_not_found`, or `too_many_requests`
 */
export async function takeWrap(
  ctx: Ctx | Tx,
  input: { userId: string; kind: VaultWrap['kind']; name: string },
): Promise<{ wrap: typeof vaultWraps.$inferSelect; challenge: string }> {
  const { userId, kind, name } = input
  const taken = await transaction(ctx, async (tx) => {
    const now = tx.now()
    const nowText = now.toISOString()
    const challenge = newToken()
    const isOver = sql`${vaults.windowStartedAt} <= ${nowText}::timestamptz - make_interval(mins => ${windowMinutes})`
    const [counted] = await tx.db
      .update(vaults)
      .set({
        openReads: sql`case when ${isOver} then 1 else ${vaults.openReads} + 1 end`,
        windowStartedAt: sql`case when ${isOver} then ${nowText}::timestamptz else ${vaults.windowStartedAt} end`,
        challenge,
      })
      .where(and(eq(vaults.userId, userId), sql`(${isOver} or ${vaults.openReads} < ${openReadsAllowed})`))
      .returning({ openReads: vaults.openReads, windowStartedAt: vaults.windowStartedAt })
    const [wrap] = await tx.db
      .select()
      .from(vaultWraps)
      .where(and(eq(vaultWraps.userId, userId), eq(vaultWraps.kind, kind), eq(vaultWraps.name, name)))
    if (!wrap) throw new UsherError('resource_not_found', 'There is no such way into this vault.')
    const data = { user_id: userId, kind, attempts: counted?.openReads ?? openReadsAllowed }
    emit(tx, { type: counted ? 'vault.read' : 'vault.refused', subject: userId, data })
    return counted && { wrap, challenge }
  })
  if (!taken)
    throw new UsherError('too_many_requests', 'The vault was tried too often. Please wait.', {
      retryAfterSeconds: windowMinutes * 60,
    })
  return taken
}

/**
 * Whoever opened the wrap can sign what came with it: what was counted is forgiven.
 *
 * @throws {UsherError} `forbidden`
 */
export async function confirmUnlock(ctx: Ctx | Tx, input: { userId: string; signature: string }): Promise<void> {
  const { userId, signature } = input
  await transaction(ctx, async (tx) => {
    const { signPublicKey, challenge } = await getVault(tx, userId)
    if (challenge === null || !(await isSigned(signPublicKey, ['unlocked', userId, challenge], signature)))
      throw new UsherError('forbidden', 'This does not show that the vault was opened.')
    await tx.db
      .update(vaults)
      .set({ openReads: 0, challenge: null })
      .where(and(eq(vaults.userId, userId), eq(vaults.challenge, challenge)))
  })
}

/**
 * Puts a wrap in the place of another of its kind and name, or beside the others. A session alone does not suffice: only
 * who has the vault open can sign.
 *
 * @param input.version of the vault as the caller knows it
 * @throws {UsherError} `forbidden`, or `conflict` if the vault has changed since or has too many
 */
export async function setWrap(
  ctx: Ctx | Tx,
  input: { userId: string; version: number; wrap: VaultWrap; signature: string },
): Promise<Vault> {
  const { userId, version, wrap, signature } = input
  const signed = ['wrap', userId, String(version), wrap.kind, wrap.name, wrap.parameters ?? '', wrap.sealed]
  return change(ctx, { userId, version, signed, signature }, async (tx) => {
    const row = {
      ...wrap,
      parameters: wrap.parameters ?? null,
      userId,
      instanceId: tx.instance.id,
      createdAt: tx.now(),
    }
    await tx.db
      .insert(vaultWraps)
      .values(row)
      .onConflictDoUpdate({
        target: [vaultWraps.userId, vaultWraps.kind, vaultWraps.name],
        set: { parameters: row.parameters, sealed: row.sealed, createdAt: row.createdAt },
      })
    if ((await tx.db.$count(vaultWraps, eq(vaultWraps.userId, userId))) > maxWraps)
      throw new UsherError('conflict', `There are ${maxWraps} ways into a vault at most.`)
    emit(tx, { type: 'vault.updated', subject: userId, data: { user_id: userId, kind: wrap.kind, change: 'set' } })
  })
}

/**
 * Takes a way into the vault away. The last one stays.
 *
 * @throws {UsherError} `forbidden`, `conflict` or `resource_not_found`
 */
export async function deleteWrap(
  ctx: Ctx | Tx,
  input: { userId: string; version: number; kind: VaultWrap['kind']; name: string; signature: string },
): Promise<Vault> {
  const { userId, version, kind, name, signature } = input
  const signed = ['unwrap', userId, String(version), kind, name]
  return change(ctx, { userId, version, signed, signature }, async (tx) => {
    const deleted = await tx.db
      .delete(vaultWraps)
      .where(and(eq(vaultWraps.userId, userId), eq(vaultWraps.kind, kind), eq(vaultWraps.name, name)))
      .returning({ kind: vaultWraps.kind })
    if (deleted.length === 0) throw new UsherError('resource_not_found', 'There is no such way into this vault.')
    const left = await tx.db.$count(vaultWraps, eq(vaultWraps.userId, userId))
    if (left === 0) throw new UsherError('forbidden', 'Nobody could open the vault any more.')
    emit(tx, { type: 'vault.updated', subject: userId, data: { user_id: userId, kind, change: 'deleted' } })
  })
}

async function change(
  ctx: Ctx | Tx,
  { userId, version, signed, signature }: { userId: string; version: number; signed: string[]; signature: string },
  work: (tx: Tx) => Promise<void>,
): Promise<Vault> {
  return transaction(ctx, async (tx) => {
    const vault = await getVault(tx, userId)
    if (!(await isSigned(vault.signPublicKey, signed, signature)))
      throw new UsherError('forbidden', 'Open the vault to change it.')
    const moved = await tx.db
      .update(vaults)
      .set({ version: version + 1, updatedAt: tx.now() })
      .where(and(eq(vaults.userId, userId), eq(vaults.version, version)))
      .returning({ version: vaults.version })
    if (moved.length === 0) throw new UsherError('conflict', 'The vault has changed meanwhile.')
    await work(tx)
    return getVault(tx, userId)
  })
}

/**
 * Gives a vault up of which nobody has a password, code or device any more, so that another can be made. What only its
 * person could open is lost; other readers share their keys anew, and are told that this person's keys have changed.
 *
 * @throws {UsherError} `resource_not_found`
 */
export async function deleteVault(ctx: Ctx | Tx, userId: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    const gone = await tx.db.delete(vaults).where(eq(vaults.userId, userId)).returning({ userId: vaults.userId })
    if (gone.length === 0) throw new UsherError('resource_not_found', 'This person has no vault.')
    await tx.db
      .delete(vaultDocumentKeys)
      .where(and(eq(vaultDocumentKeys.instanceId, tx.instance.id), eq(vaultDocumentKeys.userId, userId)))
    emit(tx, { type: 'vault.deleted', subject: userId, data: { user_id: userId } })
  })
}
