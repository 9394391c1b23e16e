import { and, desc, eq, lt, max, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { findHead } from '../events/index.ts'
import { getWebhookEndpoint } from './manage-endpoints.ts'
import { webhookDeliveries, webhookLanes } from './tables.ts'

export type Delivery = typeof webhookDeliveries.$inferSelect

export type ListDeliveriesInput = {
  endpointId: string
  /** 0: the stream itself; others are replays. */
  run: number
  state?: Delivery['state'] | undefined
  /** Only what is about events below this position. */
  before?: number | undefined
  limit: number
}

/** What was delivered to an endpoint and what was not, the newest first. @throws {UsherError} `resource_not_found` */
export async function listDeliveries(
  ctx: Ctx | Tx,
  input: ListDeliveriesInput,
): Promise<{ data: Delivery[]; hasMore: boolean }> {
  return transaction(ctx, async (tx) => {
    await getWebhookEndpoint(tx, input.endpointId)
    const rows = await tx.db
      .select()
      .from(webhookDeliveries)
      .where(
        and(
          eq(webhookDeliveries.endpointId, input.endpointId),
          eq(webhookDeliveries.run, input.run),
          input.state === undefined ? undefined : eq(webhookDeliveries.state, input.state),
          input.before === undefined ? undefined : lt(webhookDeliveries.position, input.before),
        ),
      )
      .orderBy(desc(webhookDeliveries.position), desc(webhookDeliveries.id))
      .limit(input.limit + 1)
    return { data: rows.slice(0, input.limit), hasMore: rows.length > input.limit }
  })
}

/** Replays of an endpoint at a time. */
const maxReplays = 3

export type ReplayInput = {
  endpointId: string
  /** Positions: after this one, up to and with `until`. */
  after?: number | undefined
  until?: number | undefined
  /** Moments, in place of positions. */
  since?: Date | undefined
  before?: Date | undefined
  /** Only what was given up, in its old place, and not everything once more. */
  failedOnly?: boolean | undefined
}

/**
 * Delivers a part of the stream once more, under the ids that the events had. It goes on beside what is new, in its own
 * order.
 *
 * @returns the range of positions, and the run under which the log has it (0: deliveries that had failed)
 * @throws {UsherError} `resource_not_found`, `form_param_value_invalid` for an empty range, `conflict` while there are
 *   too many
 */
export async function replayWebhooks(
  ctx: Ctx | Tx,
  input: ReplayInput,
): Promise<{ run: number; after: number; until: number }> {
  return transaction(ctx, async (tx) => {
    const endpoint = await getWebhookEndpoint(tx, input.endpointId)
    // What is further on than the endpoint itself is on its way already.
    const last = Math.min(await findHead(tx), endpoint.cursor)
    const after = input.since ? await positionBefore(tx, input.since, last) : (input.after ?? 0)
    const until = input.before ? await positionBefore(tx, input.before, last) : Math.min(input.until ?? last, last)
    if (after >= until)
      throw new UsherError('form_param_value_invalid', 'There is nothing in this range.', { param: 'after' })
    const run = input.failedOnly
      ? await reviveFailed(tx, input.endpointId, after, until)
      : await addRun(tx, input.endpointId, after, until)
    return { run, after, until }
  })
}

async function addRun(tx: Tx, endpointId: string, after: number, until: number): Promise<number> {
  const lanes = await tx.db
    .select({ run: webhookLanes.run })
    .from(webhookLanes)
    .where(eq(webhookLanes.endpointId, endpointId))
    .for('update')
  if (lanes.length > maxReplays) throw new UsherError('conflict', `${maxReplays} replays are under way already.`)
  const [logged] = await tx.db
    .select({ run: max(webhookDeliveries.run) })
    .from(webhookDeliveries)
    .where(eq(webhookDeliveries.endpointId, endpointId))
  const run = Math.max(logged?.run ?? 0, ...lanes.map((l) => l.run)) + 1
  await tx.db.insert(webhookLanes).values({ endpointId, run, instanceId: tx.instance.id, cursor: after, until })
  return run
}

async function reviveFailed(tx: Tx, endpointId: string, after: number, until: number): Promise<number> {
  await tx.db.execute(sql`update webhook_deliveries d
    set state = 'waiting', attempts = 0, next_attempt_at = now(), subject = e.subject
    from events e
    where d.endpoint_id = ${endpointId} and d.run = 0 and d.state = 'failed' and d.position > ${after}
      and d.position <= ${until} and e.instance_id = d.instance_id and e.position = d.position`)
  await tx.db
    .update(webhookLanes)
    .set({ retryAt: sql`now()` })
    .where(and(eq(webhookLanes.endpointId, endpointId), eq(webhookLanes.run, 0)))
  return 0
}

/** The last position before a moment. */
async function positionBefore(tx: Tx, moment: Date, last: number): Promise<number> {
  const [row] = (await tx.db.execute(sql`select position::float8 as position from events
    where instance_id = ${tx.instance.id} and position is not null and created_at >= ${moment.toISOString()}::timestamptz
    order by position limit 1`)) as unknown as { position: number }[]
  return row ? row.position - 1 : last
}

/** Deletes what the log keeps no longer. @returns how many rows went, `limit` at most */
export async function deleteOldDeliveries(tx: Tx, limit: number): Promise<number> {
  const { logDays } = tx.instance.settings.webhooks
  const gone = (await tx.db.execute(sql`delete from webhook_deliveries where id in (
    select id from webhook_deliveries where instance_id = ${tx.instance.id}
      and ((state <> 'waiting' and created_at < ${tx.now().toISOString()}::timestamptz - ${logDays} * interval '1 day')
        or not exists (select 1 from webhook_endpoints e where e.id = webhook_deliveries.endpoint_id))
    order by id limit ${limit}) returning 1`)) as unknown as unknown[]
  return gone.length
}
