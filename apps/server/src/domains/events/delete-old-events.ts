import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'

/** What has no place in the stream was for caches, which read it within seconds. */
const unstreamedDays = 1

/** Deletes events that are kept no longer. What waits for its place in the stream stays. @returns how many went, `limit` at most */
export async function deleteOldEvents(tx: Tx, limit: number): Promise<number> {
  const { retentionDays } = tx.instance.settings.events
  const before = (days: number) => sql`${tx.now().toISOString()}::timestamptz - ${days} * interval '1 day'`
  const gone = (await tx.db.execute(sql`delete from events where id in (
    select id from events where instance_id = ${tx.instance.id} and not pending
      and (created_at < ${before(retentionDays)} or (position is null and created_at < ${before(unstreamedDays)}))
    order by id limit ${limit}) returning 1`)) as unknown as unknown[]
  return gone.length
}
