import { and, asc, gt, sql } from 'drizzle-orm'
import type { Database } from '../../database/index.ts'
import type { Log } from '../../kernel/log.ts'
import { events } from './tables.ts'

export type UsherEvent = {
  id: number
  instanceId: string
  type: string
  subject: string
  data: Record<string, unknown>
}

type Listener = (event: UsherEvent) => void

/** How often this node looks for what other nodes committed. */
const pollMs = 400
/** How far back it looks each time: ids are given out before commits, so a lower id can appear after a higher one. */
const overlapMs = 30_000

/**
 * Tells the parts of this node what changed: its own commits at once, those of other nodes by reading the outbox.
 * Each event arrives once per node. Cache invalidation and the closing of live sockets hang on it.
 */
export class EventBus {
  private readonly listeners = new Set<Listener>()
  private readonly seen = new Map<number, number>()
  private timer: ReturnType<typeof setTimeout> | undefined
  private startedAt: Date | undefined
  private stopped = false

  private readonly database: Database
  private readonly log: Log

  constructor(database: Database, log: Log) {
    this.database = database
    this.log = log
  }

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Hands an event to every listener unless this node had it already. */
  deliver(event: UsherEvent): void {
    if (this.seen.has(event.id)) return
    this.seen.set(event.id, Date.now())
    for (const listener of this.listeners) {
      try {
        listener(event)
      } catch (error) {
        this.log.error({ err: error, event: event.type }, 'a listener failed')
      }
    }
  }

  start(): void {
    const tick = async () => {
      try {
        await this.poll()
      } catch (error) {
        this.log.warn({ err: error }, 'the outbox could not be read')
      }
      if (!this.stopped) this.timer = setTimeout(tick, pollMs)
    }
    this.timer = setTimeout(tick, pollMs)
  }

  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  private async databaseTime(): Promise<Date> {
    const [row] = await this.database.systemSql`select now() as now`
    return row.now
  }

  private async poll(): Promise<void> {
    const now = Date.now()
    // What others commit while this node starts must not fall between its first reads and its first poll.
    this.startedAt ??= new Date((await this.databaseTime()).getTime() - overlapMs)
    const rows = await this.database.system
      .select()
      .from(events)
      .where(
        and(
          gt(events.createdAt, sql`now() - ${overlapMs} * interval '1 millisecond'`),
          gt(events.createdAt, this.startedAt),
        ),
      )
      .orderBy(asc(events.id))
    for (const row of rows) this.deliver(row)
    for (const [id, at] of this.seen) {
      if (at > now - 3 * overlapMs) break
      this.seen.delete(id)
    }
  }
}
