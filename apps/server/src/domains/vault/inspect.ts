import { and, isNotNull } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { findDocument, findHolders, ofDocument } from './key-rows.ts'
import { findReaders } from './readers.ts'
import { vaultDocumentKeys } from './tables.ts'

/** What an application's server may know: who holds keys, and never a key. */
export type VaultDocumentState = {
  docId: string
  epoch: number
  pendingSince: Date | null
  readers: { userId: string; hasKey: boolean }[]
  /** People who may not read, and whose keys wait for them because nobody who may has them. */
  withheldFrom: string[]
}

/** @throws {UsherError} `resource_not_found` for a document without keys in the vault */
export async function findDocumentReaders(ctx: Ctx | Tx, docId: string): Promise<VaultDocumentState> {
  return transaction(ctx, async (tx) => {
    const document = await findDocument(tx, docId)
    if (!document) throw new UsherError('resource_not_found', 'This document has no key in the vault.')
    const { epoch, pendingSince } = document
    const withheld = await tx.db
      .selectDistinct({ userId: vaultDocumentKeys.userId })
      .from(vaultDocumentKeys)
      .where(and(ofDocument(tx, docId), isNotNull(vaultDocumentKeys.withheldSince)))
      .orderBy(vaultDocumentKeys.userId)
    const holders = new Set(await findHolders(tx, docId, epoch))
    const readers = (await findReaders(tx, docId)).map(({ userId }) => ({ userId, hasKey: holders.has(userId) }))
    return { docId, epoch, pendingSince, readers, withheldFrom: withheld.map((row) => row.userId) }
  })
}
