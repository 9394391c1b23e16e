import { sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'

/** Whether a document was deleted: its id is spent then, and its channel gone. One that was never written is not. */
export async function isDocumentDeleted(ctx: Ctx, docId: string): Promise<boolean> {
  const rows = await transaction(ctx, (tx) =>
    tx.db.execute(sql`
      select 1 from sync_rooms
      where instance_id = ${tx.instance.id} and key = ${docId} and deleted_at is not null`),
  )
  return rows.length > 0
}
