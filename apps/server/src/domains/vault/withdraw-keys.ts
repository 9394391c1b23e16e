import { and, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm'
import { type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { emit } from '../events/index.ts'
import { ownerOf } from '../sync/index.ts'
import { isDocument, isHeld, lockDocument, ofDocument, ownerData } from './key-rows.ts'
import { accessOf, findReaders, type Reader } from './readers.ts'
import { vaultDocumentKeys, vaultDocuments, vaults } from './tables.ts'

/**
 * Takes the keys away from people who may not read any more, and marks what they held as in need of another key (E-9).
 *
 * @param people ids of users, sessions and organizations whose standing changed; `everyone` in the instance
 */
export async function withdrawKeys(ctx: Ctx | Tx, people: ReadonlySet<string> | 'everyone'): Promise<void> {
  await transaction(ctx, async (tx) => {
    const ids = people === 'everyone' ? [] : [...people].filter((id) => !id.startsWith('sess_'))
    if (people !== 'everyone' && ids.length === 0) return
    const concerned =
      people === 'everyone'
        ? undefined
        : sql`(${inArray(vaultDocumentKeys.userId, ids)} or ${vaultDocuments.organizationId} in ${ids})`
    const held = await tx.db
      .selectDistinct({ docId: vaultDocumentKeys.docId, userId: vaultDocumentKeys.userId })
      .from(vaultDocumentKeys)
      .innerJoin(
        vaultDocuments,
        and(
          eq(vaultDocuments.instanceId, vaultDocumentKeys.instanceId),
          eq(vaultDocuments.docId, vaultDocumentKeys.docId),
        ),
      )
      .where(and(eq(vaultDocumentKeys.instanceId, tx.instance.id), isNull(vaultDocumentKeys.withheldSince), concerned))
      // In one order on all nodes: each document is locked.
      .orderBy(vaultDocumentKeys.docId)
    const byDocument = Map.groupBy(held, ({ docId }) => docId)
    for (const [docId, holders] of byDocument) {
      await withdraw(
        tx,
        docId,
        await lostBy(
          tx,
          docId,
          holders.map(({ userId }) => userId),
        ),
      )
    }
  })
}

/** Keys of a document that is deleted: what may still lie in a backup opens for nobody. */
export async function deleteDocumentKeys(ctx: Ctx | Tx, docId: string): Promise<void> {
  await transaction(ctx, (tx) => tx.db.delete(vaultDocuments).where(isDocument(tx, docId)))
}

/** Above so many people all readers of a document are read at once, rather than one person after the other. */
const oneByOne = 3

async function lostBy(tx: Tx, docId: string, holders: readonly string[]): Promise<string[]> {
  if (holders.length > oneByOne) {
    const may = new Set((await findReaders(tx, docId)).map((reader) => reader.userId))
    return holders.filter((id) => !may.has(id))
  }
  const lost: string[] = []
  for (const userId of holders) if (!(await accessOf(tx, { docId, userId }))) lost.push(userId)
  return lost
}

/** People who hold a key of a document that they may not read. @param options.withheld also those from whom it is withheld */
export async function strangers(
  tx: Tx,
  docId: string,
  readers: readonly Reader[],
  options: { withheld: boolean },
): Promise<string[]> {
  const may = new Set(readers.map((reader) => reader.userId))
  const holders = await tx.db
    .selectDistinct({ userId: vaultDocumentKeys.userId })
    .from(vaultDocumentKeys)
    .where(and(ofDocument(tx, docId), options.withheld ? undefined : isNull(vaultDocumentKeys.withheldSince)))
  return holders.map((holder) => holder.userId).filter((id) => !may.has(id))
}

/**
 * What nobody else could give again is kept, sealed as it is and given to nobody, until its owner may read again or somebody who
 * may read has put another key in its place: a mistake in the rules takes everybody's right, and no document with it.
 *
 * @param options.isSafe they do not hold the current key, so that it need not be replaced
 */
export async function withdraw(
  tx: Tx,
  docId: string,
  userIds: readonly string[],
  options: { isSafe?: boolean } = {},
): Promise<void> {
  const owner = ownerOf(docId)
  // Nobody else holds a person's own keys: taken away from somebody who is banned for a day they were lost for good.
  // Whoever may not read is not given them either way, and they go with the account.
  const from = userIds.filter((id) => !(owner?.type === 'user' && owner.id === id))
  if (from.length === 0) return
  // Of two that leave at the same time one is the last.
  await lockDocument(tx, docId)
  const ofThem = and(ofDocument(tx, docId), inArray(vaultDocumentKeys.userId, from))
  const { epoch, userId, withheldSince } = vaultDocumentKeys
  const others = await tx.db
    .selectDistinct({ epoch })
    .from(vaultDocumentKeys)
    .where(and(isHeld(tx, docId), sql`${userId} <> all(${textArray(from)}::text[])`))
  const elsewhere = others.map((other) => other.epoch)
  const hasVault = sql`exists (select from ${vaults} v where v.user_id = ${userId})`
  const isElsewhere = elsewhere.length > 0 ? inArray(epoch, elsewhere) : sql`false`
  const gone = await tx.db
    .delete(vaultDocumentKeys)
    .where(and(ofThem, sql`(${isElsewhere} or not ${hasVault})`))
    .returning({ userId, withheldSince })
  const kept = await tx.db
    .update(vaultDocumentKeys)
    .set({ withheldSince: tx.now() })
    .where(and(ofThem, isNull(withheldSince)))
    .returning({ userId })
  const lost = new Set([...gone.filter((row) => row.withheldSince === null), ...kept].map((row) => row.userId))
  if (lost.size === 0) return
  if (!options.isSafe)
    await tx.db
      .update(vaultDocuments)
      .set({ pendingSince: sql`coalesce(${vaultDocuments.pendingSince}, ${tx.now().toISOString()}::timestamptz)` })
      .where(isDocument(tx, docId))
  const withheld = new Set(kept.map((row) => row.userId))
  for (const id of lost) {
    const data = { ...ownerData(docId), user_id: id, ...(withheld.has(id) && { withheld: true }) }
    emit(tx, { type: 'documentKey.withdrawn', subject: docId, data })
  }
}

/** What was withheld from somebody who may read again. */
export async function giveBack(tx: Tx, docId: string, userId: string): Promise<void> {
  const { epoch, withheldSince } = vaultDocumentKeys
  const withheld = and(ofDocument(tx, docId), eq(vaultDocumentKeys.userId, userId), isNotNull(withheldSince))
  if ((await tx.db.select({ epoch }).from(vaultDocumentKeys).where(withheld).limit(1)).length === 0) return
  await lockDocument(tx, docId)
  // Judged once more behind the lock: it may have been withheld after it was found that they may read.
  if (!(await accessOf(tx, { docId, userId }))) return
  const given = await tx.db.update(vaultDocumentKeys).set({ withheldSince: null }).where(withheld).returning({ epoch })
  if (given.length === 0) return
  const data = { ...ownerData(docId), user_id: userId, epochs: given.map((row) => row.epoch) }
  emit(tx, { type: 'documentKey.restored', subject: docId, data })
}
