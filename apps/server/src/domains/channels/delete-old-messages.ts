import type { SQL } from 'bun'
import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'

/** Days for which the place of a channel without messages is kept: whoever comes back sooner goes on where they were. */
const emptyDays = 90

/** Deletes messages whose time is over, and channels that nothing was said in for long and nothing is left of. @returns how many rows went */
export async function deleteOldChannelMessages(tx: Tx, limit: number): Promise<number> {
  const now = tx.now().toISOString()
  const messages = await tx.db.execute(sql`
    delete from channel_messages where (channel_id, seq) in (
      select channel_id, seq from channel_messages where instance_id = ${tx.instance.id} and expires_at < ${now}::timestamptz
      order by channel_id, seq limit ${limit})
    returning 1`)
  const channels = await tx.db.execute(sql`
    delete from channels where id in (
      select c.id from channels c where c.instance_id = ${tx.instance.id}
        and c.written_at < ${now}::timestamptz - ${emptyDays} * interval '1 day'
        and not exists (select from channel_messages m where m.channel_id = c.id)
      limit ${limit} for update skip locked)
    returning 1`)
  return Math.max(messages.length, channels.length)
}

/** Deletes what was said in channels whose owner is gone. @param isPrefix as of `ChannelHub.forget` */
export async function deleteChannels(
  systemSql: SQL,
  instanceId: string,
  owned: string,
  isPrefix: boolean,
): Promise<void> {
  if (isPrefix) await systemSql`delete from channels where instance_id = ${instanceId} and starts_with(name, ${owned})`
  else await systemSql`delete from channels where instance_id = ${instanceId} and name = ${owned}`
}
