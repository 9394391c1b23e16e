import { sql } from 'drizzle-orm'
import { textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'

/**
 * Which of some documents were deleted: their ids are spent then, and their channels gone. One that was never written is
 * not among them.
 */
export async function findDeletedDocuments(ctx: Ctx, docIds: readonly string[]): Promise<Set<string>> {
  if (docIds.length === 0) return new Set()
  const rows = await transaction(ctx, (tx) =>
    tx.db.execute<{ key: string }>(sql`
      select key from sync_rooms
      where instance_id = ${tx.instance.id} and key = any(${textArray(docIds)}::text[]) and deleted_at is not null`),
  )
  return new Set([...rows].map(({ key }) => key))
}
