import type { SQL } from 'bun'

/** A lane as the node that works on it sees it. Moments are milliseconds since 1970. */
export type LaneState = {
  /** Of this claim and no other: whoever lost it may not write any more, also where it was lost to the same node. */
  lease: string
  endpointId: string
  run: number
  instanceId: string
  cursor: number
  until: number | null
  failures: number
  pauses: number
  failingSince: number | null
}

/** What came of a delivery, as it is written down. */
export type Result = {
  position: number
  message_id: string
  type: string
  /** Only while it waits. */
  subject: string | null
  state: 'delivered' | 'waiting' | 'failed' | 'skipped'
  attempts: number
  /** Until the next attempt; null: when what it waits for is settled. */
  wait_seconds: number | null
  response_status: number | null
  error: string | null
  duration_ms: number | null
}

/** A delivery that waits, and whose turn it is among those about its subject. */
export type Waiting = { position: number; attempts: number; subject: string; due: boolean }

/** How long a lane belongs to the node that took it. A node that dies leaves it to the others after this. */
export const leaseSeconds = 30

/** The rows behind the lanes of a node. */
export class LaneStore {
  private readonly sql: SQL
  private readonly node: string
  private claims = 0

  constructor(sql: SQL, node: string) {
    this.sql = sql
    this.node = node
  }

  /** Takes lanes that have something to do and that nobody works on. */
  async claim(limit: number): Promise<LaneState[]> {
    this.claims += 1
    const lease = `${this.node}.${this.claims}`
    const rows = await this.sql`
      update webhook_lanes l set lease_owner = ${lease}, leased_until = now() + ${leaseSeconds} * interval '1 second'
      from (
        select l.endpoint_id, l.run from webhook_lanes l
        join webhook_endpoints e on e.id = l.endpoint_id
        left join event_streams s on s.instance_id = l.instance_id
        where e.disabled_at is null
          and (l.leased_until is null or l.leased_until < now())
          and (l.paused_until is null or l.paused_until <= now())
          and (l.cursor < least(coalesce(s.head, 0), l.until) or l.retry_at <= now())
        order by l.leased_until nulls first
        limit ${limit} for update of l skip locked
      ) due
      where l.endpoint_id = due.endpoint_id and l.run = due.run
      returning l.endpoint_id, l.run, l.instance_id, l.cursor::float8 as cursor, l.until::float8 as until,
        l.failures, l.pauses, extract(epoch from l.failing_since)::float8 * 1000 as failing_since`
    return rows.map(
      (r: Record<string, unknown>) =>
        ({
          lease,
          endpointId: r.endpoint_id,
          run: r.run,
          instanceId: r.instance_id,
          cursor: r.cursor,
          until: r.until,
          failures: r.failures,
          pauses: r.pauses,
          failingSince: r.failing_since,
        }) as LaneState,
    )
  }

  /** Gives a lane back as it is, if it is held still. */
  async release({ endpointId, run, lease }: LaneState): Promise<void> {
    await this.sql`update webhook_lanes set lease_owner = null, leased_until = null
      where endpoint_id = ${endpointId} and run = ${run} and lease_owner = ${lease}`
  }

  /** Positions beyond the cursor that were settled before the lane changed hands. */
  async settledBeyond({ endpointId, run, cursor }: LaneState): Promise<number[]> {
    const rows = await this.sql`select position::float8 as position from webhook_deliveries
      where endpoint_id = ${endpointId} and run = ${run} and position > ${cursor}`
    return rows.map((r: { position: number }) => r.position)
  }

  /** Subjects of which something waits, and how much there is in all. */
  async waitingSubjects({ endpointId, run }: LaneState): Promise<{ subjects: string[]; total: number }> {
    const rows = await this.sql`select subject, count(*)::int as n from webhook_deliveries
      where endpoint_id = ${endpointId} and run = ${run} and state = 'waiting' group by subject`
    return {
      subjects: rows.map((r: { subject: string }) => r.subject),
      total: rows.reduce((sum: number, r: { n: number }) => sum + r.n, 0),
    }
  }

  /** The first waiting delivery of each subject, the oldest first. */
  async firstWaiting({ endpointId, run }: LaneState, limit: number, dueOnly: boolean): Promise<Waiting[]> {
    return this.sql`select position::float8 as position, attempts, subject from webhook_deliveries
      where endpoint_id = ${endpointId} and run = ${run} and state = 'waiting' and next_attempt_at is not null
        and (not ${dueOnly} or next_attempt_at <= now())
      order by position limit ${limit}`
  }

  /**
   * Writes down what was settled and how far the lane has come, in one transaction. It need not survive a crash: then
   * the last moments are delivered once more, under the same ids.
   *
   * @returns when the next attempt is due, in milliseconds from now; undefined when the lane is no longer this node's
   */
  async save(
    state: LaneState,
    results: Result[],
    options: { release: boolean; recovered: boolean; promote: boolean; pauseSeconds?: number | undefined },
  ): Promise<{ retryInMs: number | null } | undefined> {
    const { endpointId, run, instanceId } = state
    const since = state.failingSince === null ? null : new Date(state.failingSince).toISOString()
    return this.sql
      .begin(async (tx) => {
        await tx`set local synchronous_commit = off`
        if (results.length > 0)
          await tx`insert into webhook_deliveries as d (instance_id, endpoint_id, run, position, message_id, type, subject,
              state, attempts, next_attempt_at, response_status, error, duration_ms, attempted_at)
            select ${instanceId}, ${endpointId}, ${run}, r.position, r.message_id, r.type, r.subject, r.state, r.attempts,
              now() + r.wait_seconds * interval '1 second', r.response_status, r.error, r.duration_ms,
              case when r.attempts > 0 then now() end
            from jsonb_to_recordset(${JSON.stringify(results)}::text::jsonb) as r(position bigint, message_id text,
              type text, subject text, state text, attempts smallint, wait_seconds float8, response_status smallint,
              error text, duration_ms int)
            on conflict (endpoint_id, run, position) do update set subject = excluded.subject, state = excluded.state,
              attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at,
              response_status = excluded.response_status, error = excluded.error, duration_ms = excluded.duration_ms,
              attempted_at = excluded.attempted_at`
        if (options.recovered)
          await tx`update webhook_deliveries set next_attempt_at = now() where endpoint_id = ${endpointId}
            and run = ${run} and state = 'waiting' and next_attempt_at > now()`
        if (options.promote)
          await tx`update webhook_deliveries d set next_attempt_at = now() where endpoint_id = ${endpointId}
            and run = ${run} and state = 'waiting' and next_attempt_at is null
            and not exists (select 1 from webhook_deliveries o where o.endpoint_id = ${endpointId} and o.run = ${run}
              and o.state = 'waiting' and o.subject = d.subject and o.position < d.position)`
        const [lane] = await tx`update webhook_lanes l set cursor = ${state.cursor}, failures = ${state.failures},
            pauses = ${state.pauses}, failing_since = ${since}::text::timestamptz,
            paused_until = now() + ${options.pauseSeconds ?? null}::float8 * interval '1 second',
            retry_at = (select min(next_attempt_at) from webhook_deliveries d where d.endpoint_id = ${endpointId}
              and d.run = ${run} and d.state = 'waiting'),
            leased_until = case when ${options.release} then null
              else now() + ${leaseSeconds} * interval '1 second' end,
            lease_owner = case when ${options.release} then null else l.lease_owner end
          where endpoint_id = ${endpointId} and run = ${run} and lease_owner = ${state.lease}
          returning (extract(epoch from retry_at - now()) * 1000)::float8 as retry_in`
        // Somebody else has taken it over, or the endpoint is gone: nothing of this may be written.
        if (!lane) throw new LeaseLost()
        if (options.release && run > 0)
          await tx`delete from webhook_lanes where endpoint_id = ${endpointId} and run = ${run} and cursor >= until
            and retry_at is null`
        return { retryInMs: lane.retry_in as number | null }
      })
      .catch((error: unknown) => {
        if (error instanceof LeaseLost) return undefined
        throw error
      })
  }
}

class LeaseLost extends Error {}
