import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { ownerOf } from '../sync/index.ts'
import { vaultDocumentKeys, vaultDocuments, vaultEpochs } from './tables.ts'

export type VaultDocument = typeof vaultDocuments.$inferSelect

export const isDocument = (tx: Tx, docId: string) =>
  and(eq(vaultDocuments.instanceId, tx.instance.id), eq(vaultDocuments.docId, docId))
export const ofDocument = (tx: Tx, docId: string) =>
  and(eq(vaultDocumentKeys.instanceId, tx.instance.id), eq(vaultDocumentKeys.docId, docId))
/** Keys that somebody may read with: neither withheld nor refused by who got them. */
export const isHeld = (tx: Tx, docId: string) =>
  and(
    ofDocument(tx, docId),
    isNull(vaultDocumentKeys.withheldSince),
    sql`not ${vaultDocumentKeys.createdBy} = any(${vaultDocumentKeys.refused})`,
  )
export const isEpochOfKey = and(
  eq(vaultEpochs.instanceId, vaultDocumentKeys.instanceId),
  eq(vaultEpochs.docId, vaultDocumentKeys.docId),
  eq(vaultEpochs.epoch, vaultDocumentKeys.epoch),
)

export async function findDocument(tx: Tx, docId: string): Promise<VaultDocument | undefined> {
  const [found] = await tx.db.select().from(vaultDocuments).where(isDocument(tx, docId))
  return found
}

export async function lockDocument(tx: Tx, docId: string): Promise<VaultDocument | undefined> {
  const [found] = await tx.db.select().from(vaultDocuments).where(isDocument(tx, docId)).for('update')
  return found
}

export async function findHolders(tx: Tx, docId: string, epoch: number): Promise<string[]> {
  const rows = await tx.db
    .select({ userId: vaultDocumentKeys.userId })
    .from(vaultDocumentKeys)
    .where(and(isHeld(tx, docId), eq(vaultDocumentKeys.epoch, epoch)))
  return rows.map((row) => row.userId)
}

/** An organization's documents are matters of its audit log. */
export function ownerData(docId: string): Record<string, string> {
  const owner = ownerOf(docId)
  return owner?.type === 'organization' ? { organization_id: owner.id } : {}
}
