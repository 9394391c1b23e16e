import { and, eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { syncRooms } from '../sync/tables.ts'

/** @throws {UsherError} `conflict` if the room's epoch is another one */
export async function advanceEpoch(
  tx: Tx,
  { docId, from }: { docId: string; from: number; keyRecord: Uint8Array },
): Promise<void> {
  const room = and(eq(syncRooms.instanceId, tx.instance.id), eq(syncRooms.key, docId))
  const moved = await tx.db
    .update(syncRooms)
    .set({ keyEpoch: from + 1 })
    .where(and(room, eq(syncRooms.keyEpoch, from)))
    .returning({ id: syncRooms.id })
  if (moved.length === 0 && (await tx.db.$count(syncRooms, room)) > 0)
    throw new UsherError('conflict', 'The key was rotated meanwhile.')
}
