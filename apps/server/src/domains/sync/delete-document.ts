import { sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'

/**
 * Deletes a document: its content is gone at once, its sockets are closed with 4404, and its id is spent. A client that
 * still has a copy would otherwise bring it back with its next connection.
 *
 * @throws {UsherError} `forbidden` for anybody but the application's server, `resource_not_found` for a document that
 *   was never written or is deleted already
 */
export async function deleteDocument(ctx: Ctx, docId: string): Promise<void> {
  if (ctx.actor.type !== 'backend') throw new UsherError('forbidden', 'Only the application’s server may do this.')
  await transaction(ctx, async (tx) => {
    // Who appends holds the row too: what comes after this finds the document gone.
    const [room] = await tx.db.execute<{ id: string; organization_id: string | null }>(sql`
      update sync_rooms set deleted_at = ${ctx.now().toISOString()}::timestamptz, key_params = null, chain = null
      where instance_id = ${tx.instance.id} and key = ${docId} and kind <> 'channel' and deleted_at is null
      returning id, organization_id`)
    if (!room) throw new UsherError('resource_not_found', 'There is no such document.')
    for (const table of [sql`sync_room_snapshot_chunks`, sql`sync_room_snapshots`, sql`sync_room_segments`])
      await tx.db.execute(sql`delete from ${table} where room_id = ${room.id}`)
    const organization = room.organization_id === null ? {} : { organization_id: room.organization_id }
    emit(tx, { type: 'document.deleted', subject: docId, data: organization })
  })
}
