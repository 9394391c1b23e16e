import { and, eq, gt, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isMissingReference, UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { type Access, advanceEpoch, ownerOf } from '../sync/index.ts'
import type { KeyGrant } from './inputs.ts'
import {
  findDocument,
  findHolders,
  isDocument,
  isEpochOfKey,
  isHeld,
  lockDocument,
  ownerData,
  type VaultDocument,
} from './key-rows.ts'
import { accessOf, findKeyHolders, findReaders, type Reader, requireAccess } from './readers.ts'
import { isSigned } from './signed.ts'
import { vaultDocumentKeys, vaultDocuments, vaultEpochs } from './tables.ts'
import { giveBack, strangers, withdraw } from './withdraw-keys.ts'

type StoredKey = Pick<typeof vaultDocumentKeys.$inferSelect, 'epoch' | 'sealed' | 'signature' | 'createdBy'> & {
  keyHash: string
}

/** A key is replaced when it is as old as this, so that what is lost with one is bounded in time. */
const lifetimeMs = 90 * 24 * 60 * 60_000

/** Of one document, by one person. */
export const maxRotationsAnHour = 100

/** What a reader of a document needs to know about its keys. */
export type DocumentKeyRing = {
  docId: string
  access: Access
  /** Undefined: nobody has given it a key yet. */
  document: VaultDocument | undefined
  /** Why the key has to be replaced: somebody lost access, or it is as old as a key may become. */
  due: 'removal' | 'age' | undefined
  /** The caller's own, of every epoch. */
  keys: StoredKey[]
  /** Who may read and has a vault, and which of them hold the current key. */
  readers: (Reader & { hasKey: boolean })[]
  /** Public keys of those who gave the caller's keys. */
  givers: Reader[]
}

/**
 * The caller's keys of a document, and whom else they are for. Whoever may read no more is found here as well, should
 * the event of it have been missed.
 *
 * @throws {UsherError} `sync_access_denied`
 */
export async function getDocumentKeys(
  ctx: Ctx | Tx,
  { userId, docId }: { userId: string; docId: string },
): Promise<DocumentKeyRing> {
  return transaction(ctx, async (tx) => {
    const access = await accessOf(tx, { docId, userId })
    if (!access) throw new UsherError('sync_access_denied', 'You may not read this document.')
    const readers = await findReaders(tx, docId)
    await withdraw(tx, docId, await strangers(tx, docId, readers, { withheld: false }))
    await giveBack(tx, docId, userId)
    const document = await findDocument(tx, docId)
    const ofMine = and(isHeld(tx, docId), eq(vaultDocumentKeys.userId, userId))
    const { epoch, sealed, signature, createdBy, readAt } = vaultDocumentKeys
    const rows = await tx.db
      .select({ epoch, sealed, signature, createdBy, readAt, keyHash: vaultEpochs.keyHash })
      .from(vaultDocumentKeys)
      .innerJoin(vaultEpochs, isEpochOfKey)
      .where(ofMine)
      .orderBy(epoch)
    const unread = rows.filter((row) => row.readAt === null)
    if (unread.length > 0) {
      await tx.db
        .update(vaultDocumentKeys)
        .set({ readAt: tx.now() })
        .where(and(ofMine, sql`${readAt} is null`))
      const epochs = unread.map((row) => row.epoch)
      emit(tx, { type: 'documentKey.read', subject: docId, data: { ...ownerData(docId), user_id: userId, epochs } })
    }
    const holders = new Set(document ? await findHolders(tx, docId, document.epoch) : [])
    return {
      docId,
      access,
      document,
      due: document && (await dueOf(tx, document)),
      keys: rows.map(({ readAt: _, ...key }) => key),
      readers: readers.map((reader) => ({ ...reader, hasKey: holders.has(reader.userId) })),
      givers: await findKeyHolders(tx, [...new Set(rows.map((row) => row.createdBy))]),
    }
  })
}

/**
 * Gives people keys of a document: of a new one its first, which is of epoch 0; of others only such as the giver holds,
 * and only to people who may read. A key that somebody has stays as it is, unless they have refused it.
 *
 * @param input.keyHash of the first key
 * @throws {UsherError} `sync_access_denied`, `conflict` if somebody else was first, `form_param_value_invalid`
 */
export async function giveDocumentKeys(
  ctx: Ctx | Tx,
  input: { userId: string; docId: string; grants: readonly KeyGrant[]; keyHash?: string },
): Promise<void> {
  const { userId, docId, grants, keyHash } = input
  return transaction(ctx, async (tx) => {
    await requireAccess(tx, { docId, userId, access: 'write' })
    await checkGrants(tx, input)
    const made = await createDocument(tx, docId)
    if (!made) await lockDocument(tx, docId)
    // Read after the lock: from whoever was removed before it, keys are not taken once more.
    const readers = new Set((await findReaders(tx, docId)).map((reader) => reader.userId))
    if (grants.some((grant) => !readers.has(grant.userId)))
      throw new UsherError('sync_access_denied', 'Somebody among them may not read this document.')
    if (made) {
      if (grants.some(({ epoch }) => epoch !== 0) || !grants.some((grant) => grant.userId === userId))
        throw new UsherError('form_param_value_invalid', 'The first key has epoch 0 and is for its maker as well.')
      if (keyHash === undefined)
        throw new UsherError('form_param_value_invalid', 'The first key comes with its hash.', { param: 'key_hash' })
      await insertEpoch(tx, { docId, userId, epoch: 0, keyHash })
    } else {
      const held = await tx.db
        .select({ epoch: vaultDocumentKeys.epoch })
        .from(vaultDocumentKeys)
        .where(and(isHeld(tx, docId), eq(vaultDocumentKeys.userId, userId)))
      // Who holds nothing has nothing to give: what they send instead would be another key under the same number.
      if (grants.some(({ epoch }) => !held.some((key) => key.epoch === epoch)))
        throw new UsherError('conflict', 'You do not hold this key yourself.')
    }
    const given = await insertKeys(tx, input)
    if (given.length === 0) return
    const data = {
      ...ownerData(docId),
      recipients: [...new Set(given)],
      epochs: [...new Set(grants.map((g) => g.epoch))],
    }
    emit(tx, { type: made ? 'documentKey.created' : 'documentKey.given', subject: docId, data })
  })
}

/**
 * Begins the next epoch (E-9): a new key for exactly the people who may read now, and the record of it in the log, in one
 * transaction. Of two at once one is refused.
 *
 * @param input.keyRecord an envelope of kind 4, sealed under the key that is replaced
 * @throws {UsherError} `sync_access_denied` unless the caller may write; `conflict` if the epoch has moved, or with
 *   `meta.missing` and `meta.surplus` if the recipients are not those who may read; `too_many_requests`
 */
export async function rotateDocumentKey(
  ctx: Ctx | Tx,
  input: {
    userId: string
    docId: string
    from: number
    grants: readonly KeyGrant[]
    keyHash: string
    keyRecord: Uint8Array
    reason: string
  },
): Promise<VaultDocument> {
  const { userId, docId, from, grants, keyHash, keyRecord, reason } = input
  return transaction(ctx, async (tx) => {
    await requireAccess(tx, { docId, userId, access: 'write' })
    await checkGrants(tx, input)
    const to = from + 1
    if (grants.some(({ epoch }) => epoch !== to))
      throw new UsherError('form_param_value_invalid', 'Rotation gives keys of the next epoch.', { param: 'grants' })
    const document = await lockDocument(tx, docId)
    if (!document) throw new UsherError('resource_not_found', 'This document has no key in the vault.')
    if (document.epoch !== from) throw new UsherError('conflict', 'The key was rotated meanwhile.')
    if (!(await findHolders(tx, docId, from)).includes(userId))
      throw new UsherError('conflict', 'You do not hold the key that is to be replaced.')
    await countRotations(tx, { docId, userId })
    // Read after the lock: whoever was removed before it is not among them.
    const readers = (await findReaders(tx, docId)).map((reader) => reader.userId)
    const recipients = grants.map((grant) => grant.userId)
    const missing = readers.filter((id) => !recipients.includes(id))
    const surplus = recipients.filter((id) => !readers.includes(id))
    if (missing.length > 0 || surplus.length > 0 || new Set(recipients).size !== recipients.length)
      throw new UsherError('conflict', 'These are not the people who may read now.', { meta: { missing, surplus } })
    await insertEpoch(tx, { docId, userId, epoch: to, keyHash })
    await insertKeys(tx, input)
    await tx.db
      .update(vaultDocuments)
      .set({ epoch: to, pendingSince: null, updatedAt: tx.now() })
      .where(isDocument(tx, docId))
    // What was withheld until now is good for nobody any more: who rotates holds the keys.
    const left = await strangers(tx, docId, await findReaders(tx, docId), { withheld: true })
    await withdraw(tx, docId, left, { isSafe: true })
    await advanceEpoch(tx, { docId, from, keyRecord })
    emit(tx, { type: 'documentKey.rotated', subject: docId, data: { ...ownerData(docId), epoch: to, reason } })
    return { ...document, epoch: to, pendingSince: null }
  })
}

/**
 * What somebody was given is not the key of this epoch: it opens nothing, or has another hash. It counts for nothing from now
 * on, and neither does anything else that its giver sends for it; others may give it.
 *
 * @throws {UsherError} `sync_access_denied`, or `resource_not_found` without such a key
 */
export async function refuseDocumentKey(
  ctx: Ctx | Tx,
  { userId, docId, epoch }: { userId: string; docId: string; epoch: number },
): Promise<void> {
  await transaction(ctx, async (tx) => {
    await requireAccess(tx, { docId, userId, access: 'read' })
    const { createdBy, refused } = vaultDocumentKeys
    const [key] = await tx.db
      .update(vaultDocumentKeys)
      .set({ refused: sql`array_append(${refused}, ${createdBy})` })
      .where(and(isHeld(tx, docId), eq(vaultDocumentKeys.userId, userId), eq(vaultDocumentKeys.epoch, epoch)))
      .returning({ givenBy: createdBy })
    if (!key) throw new UsherError('resource_not_found', 'There is no such key.')
    const data = { ...ownerData(docId), user_id: userId, given_by: key.givenBy, epochs: [epoch] }
    emit(tx, { type: 'documentKey.refused', subject: docId, data })
  })
}

/** Each rotation leaves a key for each reader, for ever. Counted by person: nobody else is kept from one that is due. */
async function countRotations(tx: Tx, { docId, userId }: { docId: string; userId: string }): Promise<void> {
  const { instanceId, createdBy, createdAt } = vaultEpochs
  const since = new Date(tx.now().getTime() - 60 * 60_000)
  const ofTheirs = and(eq(instanceId, tx.instance.id), eq(vaultEpochs.docId, docId), eq(createdBy, userId))
  const made = await tx.db.$count(vaultEpochs, and(ofTheirs, gt(createdAt, since)))
  if (made >= maxRotationsAnHour)
    throw new UsherError('too_many_requests', 'The key of this document was replaced too often.', {
      retryAfterSeconds: 60 * 60,
    })
}

async function dueOf(tx: Tx, { docId, epoch, pendingSince }: VaultDocument): Promise<DocumentKeyRing['due']> {
  if (pendingSince) return 'removal'
  const [current] = await tx.db
    .select({ createdAt: vaultEpochs.createdAt })
    .from(vaultEpochs)
    .where(and(eq(vaultEpochs.instanceId, tx.instance.id), eq(vaultEpochs.docId, docId), eq(vaultEpochs.epoch, epoch)))
  const age = current ? tx.now().getTime() - current.createdAt.getTime() : 0
  return age >= lifetimeMs ? 'age' : undefined
}

/** Whether it is new. @throws {UsherError} `form_param_value_invalid` for an id that names no owner */
async function createDocument(tx: Tx, docId: string): Promise<boolean> {
  const owner = ownerOf(docId)
  if (!owner) throw new UsherError('form_param_value_invalid', 'This document has no owner.', { param: 'doc_id' })
  const now = tx.now()
  try {
    const made = await tx.db
      .insert(vaultDocuments)
      .values({
        instanceId: tx.instance.id,
        docId,
        organizationId: owner.type === 'organization' ? owner.id : null,
        userId: owner.type === 'user' ? owner.id : null,
        createdAt: now,
        updatedAt: now,
      })
      .onConflictDoNothing()
      .returning({ docId: vaultDocuments.docId })
    return made.length > 0
  } catch (error) {
    if (isMissingReference(error)) throw new UsherError('resource_not_found', 'The owner of this document is gone.')
    throw error
  }
}

async function insertKeys(
  tx: Tx,
  { userId, docId, grants }: { userId: string; docId: string; grants: readonly KeyGrant[] },
): Promise<string[]> {
  const once = new Map(grants.map((grant) => [`${grant.epoch} ${grant.userId}`, grant]))
  const rows = [...once.values()].map((grant) => ({
    ...grant,
    instanceId: tx.instance.id,
    docId,
    createdBy: userId,
    createdAt: tx.now(),
  }))
  const { instanceId, epoch, refused, withheldSince, createdBy } = vaultDocumentKeys
  const made = await tx.db
    .insert(vaultDocumentKeys)
    .values(rows)
    .onConflictDoUpdate({
      target: [instanceId, vaultDocumentKeys.docId, epoch, vaultDocumentKeys.userId],
      set: {
        sealed: sql`excluded.sealed`,
        signature: sql`excluded.signature`,
        createdBy: sql`excluded.created_by`,
        createdAt: sql`excluded.created_at`,
        withheldSince: null,
        readAt: null,
      },
      setWhere: sql`(${withheldSince} is not null or ${createdBy} = any(${refused})) and not excluded.created_by = any(${refused})`,
    })
    .returning({ userId: vaultDocumentKeys.userId })
  return made.map((row) => row.userId)
}

async function insertEpoch(
  tx: Tx,
  { docId, userId, epoch, keyHash }: { docId: string; userId: string; epoch: number; keyHash: string },
): Promise<void> {
  const instanceId = tx.instance.id
  await tx.db.insert(vaultEpochs).values({ instanceId, docId, epoch, keyHash, createdBy: userId, createdAt: tx.now() })
}

/** That the caller's own hand gave them: nobody can put keys into another's mouth. */
async function checkGrants(
  tx: Tx,
  { userId, docId, grants }: { userId: string; docId: string; grants: readonly KeyGrant[] },
): Promise<void> {
  const [giver] = await findKeyHolders(tx, [userId])
  if (!giver) throw new UsherError('forbidden', 'Make a vault first.')
  const checks = await Promise.all(
    grants.map((grant) =>
      isSigned(
        giver.signPublicKey,
        ['document_key', docId, String(grant.epoch), grant.userId, grant.sealed],
        grant.signature,
      ),
    ),
  )
  if (checks.includes(false)) throw new UsherError('forbidden', 'A key is not signed by who gives it.')
}
