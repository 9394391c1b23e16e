import type { Database } from '../../database/index.ts'
import type { Log } from '../../kernel/log.ts'
import type { EventBus } from './bus.ts'

/** Commits that come close together get their positions together: nobody who reads a stream waits for the first of them. */
const gatherMs = 100
/** How often this node looks for what nobody woke it for: another node may have died in between. */
const pollMs = 1000
const maxRows = 2000
/** Of PostgreSQL's advisory locks: whoever holds it gives out positions. */
const lockId = 39_130_004

/**
 * Gives committed events their positions: dense, one after the other, for each instance. Ids cannot serve: they are given
 * before the commit, so a reader who went past one may never see what was committed late under a lower one. Of all nodes
 * one does it at a time, a moment after the commit and not in it, so nothing waits for it.
 */
export class EventSequencer {
  private readonly database: Database
  private readonly log: Log
  private readonly listeners = new Set<(instanceIds: string[]) => void>()
  private timer: ReturnType<typeof setTimeout> | undefined
  private dueAt = Number.POSITIVE_INFINITY
  private running: Promise<void> | undefined
  private again = false
  private stopped = true
  private unsubscribe = () => {}

  constructor(database: Database, log: Log) {
    this.database = database
    this.log = log
  }

  /** Tells of instances whose stream grew by this node's hand. */
  subscribe(listener: (instanceIds: string[]) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  start(bus: EventBus): void {
    this.stopped = false
    this.unsubscribe = bus.subscribe(() => this.schedule(gatherMs))
    this.schedule(0)
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.unsubscribe()
    clearTimeout(this.timer)
    await this.running
  }

  private schedule(ms: number): void {
    if (this.stopped) return
    if (this.running) {
      this.again ||= ms < pollMs
      return
    }
    const at = Date.now() + ms
    if (at >= this.dueAt) return
    clearTimeout(this.timer)
    this.dueAt = at
    this.timer = setTimeout(() => this.round(), ms)
  }

  private round(): void {
    this.dueAt = Number.POSITIVE_INFINITY
    this.again = false
    this.running = this.assign()
      .then((assigned) => {
        if (assigned >= maxRows) this.again = true
      })
      .catch((error) => this.log.warn({ err: error }, 'events could not be given their positions; trying again'))
      .finally(() => {
        this.running = undefined
        this.schedule(this.again ? gatherMs : pollMs)
      })
  }

  /** One round. @returns how many events got their position */
  async assign(): Promise<number> {
    const { systemSql } = this.database
    // Most looks find nothing, and need no lock for that. In the order of the index that has the waiting ones alone.
    const [some] = await systemSql`select 1 from events where pending order by id limit 1`
    if (!some) return 0
    const streams: { instance_id: string; given: number }[] = await systemSql.begin(async (tx) => {
      // What PostgreSQL knows of how many wait was true when it last counted, which was perhaps in the middle of many: it
      // would read the whole table to find a few.
      const [lock] = await tx`
        select pg_try_advisory_xact_lock(${lockId}) as held, set_config('enable_seqscan', 'off', true),
          set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`
      if (!lock?.held) return []
      // A statement of its own: it sees all that the holder before committed. Two changes of one thing are in the order
      // of their ids, because the second could not write before the first had committed.
      return tx`
        with found as (
          select id, instance_id, row_number() over (partition by instance_id order by id) as place,
            count(*) over (partition by instance_id) as given
          from (select id, instance_id from events where pending order by id limit ${maxRows}) waiting
        ), counts as (
          select instance_id, count(*) as given from found group by instance_id
        ), heads as (
          insert into event_streams as s (instance_id, head) select instance_id, given from counts order by instance_id
          on conflict (instance_id) do update set head = s.head + excluded.head
          returning s.instance_id, s.head
        ), placed as (
          update events e set pending = false, position = h.head - f.given + f.place
          from found f join heads h on h.instance_id = f.instance_id
          where e.id = f.id
        )
        select instance_id, given::int as given from counts`
    })
    const instanceIds = streams.map((s) => s.instance_id)
    if (instanceIds.length > 0) for (const listener of this.listeners) listener(instanceIds)
    return streams.reduce((sum, s) => sum + s.given, 0)
  }
}
