import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { findReaders } from './readers.ts'
import { vaultDocumentKeys, vaultDocuments } from './tables.ts'

/** What an application's server may know: who holds keys, and never a key. */
export type VaultDocumentState = {
  docId: string
  epoch: number
  pendingSince: Date | null
  readers: { userId: string; hasKey: boolean }[]
}

/** @throws {UsherError} `resource_not_found` for a document without keys in the vault */
export async function findDocumentReaders(ctx: Ctx | Tx, docId: string): Promise<VaultDocumentState> {
  return transaction(ctx, async (tx) => {
    const instanceId = tx.instance.id
    const [document] = await tx.db
      .select()
      .from(vaultDocuments)
      .where(and(eq(vaultDocuments.instanceId, instanceId), eq(vaultDocuments.docId, docId)))
    if (!document) throw new UsherError('resource_not_found', 'This document has no key in the vault.')
    const { epoch, pendingSince } = document
    const held = await tx.db
      .select({ userId: vaultDocumentKeys.userId })
      .from(vaultDocumentKeys)
      .where(
        and(
          eq(vaultDocumentKeys.instanceId, instanceId),
          eq(vaultDocumentKeys.docId, docId),
          eq(vaultDocumentKeys.epoch, epoch),
        ),
      )
    const holders = new Set(held.map((row) => row.userId))
    const readers = (await findReaders(tx, docId)).map(({ userId }) => ({ userId, hasKey: holders.has(userId) }))
    return { docId, epoch, pendingSince, readers }
  })
}
