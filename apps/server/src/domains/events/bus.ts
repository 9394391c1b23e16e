import { asc, gt, sql } from 'drizzle-orm'
import { type Database, DatabaseLine, prepared } from '../../database/index.ts'
import type { Cluster, Subscription } from '../../kernel/cluster/index.ts'
import { inTime } from '../../kernel/in-time.ts'
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

/** What has to be read before anybody hears of an event; undefined: nothing. */
type Preparation = (event: UsherEvent) => Promise<unknown> | undefined

/** How often this node looks for what other nodes committed, when none of them rings. */
const pollMs = 400
/** A node that commits much rings once in so many milliseconds, and so often others look. */
const ringMs = 10
const bell = 'events'
/** Ids are given out before commits, so a lower one can appear after a higher one; for so long it is waited for. */
const lateMs = 30_000
/** Rows of one look, and ids that are waited for. Rollbacks burn ids too, and those never appear. */
const maxRows = 5000
/** A preparation that takes longer has failed; the next one begins a moment later. */
const prepareMs = 5000
/** After so many failures the listeners are told nevertheless, and once more when it has succeeded. */
const prepareFailures = 5
/** Before the next one, while they are fewer, and from then on. */
const prepareSoonMs = 100
const prepareLaterMs = 1000

/**
 * Tells the parts of this node what changed: its own commits at once, those of other nodes by reading the outbox, when
 * they ring or a moment later.
 * Each event arrives once per node. Cache invalidation and the closing of live sockets hang on it.
 *
 * An event that has to be prepared waits for that, and no other event waits for it. Each says by itself what may no longer
 * be true, so that it does not matter which is heard first.
 */
export class EventBus {
  private readonly listeners = new Set<Listener>()
  /** By id and what it is about: a database that has lost the end gives ids out again. */
  private readonly seen = new Map<string, number>()
  private timer: ReturnType<typeof setTimeout> | undefined
  /** The highest id that was read. */
  private cursor: number | undefined
  /** Ids below it that were not there, with the time at which they were missed. */
  private readonly missing = new Map<number, number>()
  private readonly line: DatabaseLine
  private lookedAt = Number.NEGATIVE_INFINITY
  private stopped = false
  private looking = false
  private lookAgain = false
  private ringing: ReturnType<typeof setTimeout> | undefined
  private bell: Subscription | undefined

  private readonly database: Database
  private readonly log: Log
  private readonly cluster: Cluster | undefined

  /** How far back the first look goes. */
  private readonly recentMs: number
  private readonly prepare: Preparation | undefined

  constructor(
    database: Database,
    log: Log,
    { recentMs = lateMs, cluster, prepare }: { recentMs?: number; cluster?: Cluster; prepare?: Preparation } = {},
  ) {
    this.prepare = prepare
    this.database = database
    this.log = log
    this.recentMs = recentMs
    this.cluster = cluster
    // Where this node stood means nothing in another database: what others say there may have lower ids.
    this.line = new DatabaseLine(database.systemSql, () => {
      this.cursor = undefined
      this.missing.clear()
    })
  }

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Hands an event to every listener unless this node had it already. */
  deliver(event: UsherEvent): void {
    const key = keyOf(event)
    if (this.seen.has(key)) return
    this.seen.set(key, Date.now())
    const prepared = this.prepare?.(event)
    if (prepared) void this.tellPrepared(event, prepared)
    else this.tell(event)
  }

  /**
   * Tells an event when it is prepared, however often that has to be tried. With the database away it is told before as
   * well: who judges by it then cannot, and cuts off whom it may concern; who could is told again.
   */
  private async tellPrepared(event: UsherEvent, prepared: Promise<unknown> | undefined): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await inTime(prepared, prepareMs)
        break
      } catch (error) {
        if (this.stopped) return
        this.log.error({ err: error, event: event.type }, 'what an event is about could not be read')
        if (attempt === prepareFailures) this.tell(event)
        await Bun.sleep(attempt < prepareFailures ? prepareSoonMs : prepareLaterMs)
        if (this.stopped) return
        prepared = this.prepare?.(event)
      }
    }
    this.tell(event)
  }

  private tell(event: UsherEvent): void {
    for (const listener of this.listeners) {
      try {
        listener(event)
      } catch (error) {
        this.log.error({ err: error, event: event.type }, 'a listener failed')
      }
    }
  }

  /** Hands on what this node has committed, and makes the others look. */
  announce(event: UsherEvent): void {
    this.deliver(event)
    if (this.cluster?.isShared)
      this.ringing ??= setTimeout(() => {
        this.ringing = undefined
        this.cluster?.publish(bell, '')
      }, ringMs)
  }

  start(): void {
    this.bell = this.cluster?.subscribe(bell, () => this.look())
    this.timer = setTimeout(() => this.look(), pollMs)
  }

  stop(): void {
    this.stopped = true
    this.bell?.end()
    clearTimeout(this.timer)
    clearTimeout(this.ringing)
  }

  /** One look at a time, and one more if asked meanwhile: what was rung for may be too late for the one under way. */
  private async look(): Promise<void> {
    if (this.looking) {
      this.lookAgain = true
      return
    }
    this.looking = true
    this.lookAgain = false
    clearTimeout(this.timer)
    let more = false
    try {
      more = await this.poll()
    } catch (error) {
      this.log.warn({ err: error }, 'the outbox could not be read')
    }
    this.looking = false
    if (this.stopped) return
    this.timer = setTimeout(() => this.look(), more ? 0 : this.lookAgain ? ringMs : pollMs)
  }

  /** Reads what was committed since the last look. @returns whether there is more */
  private async poll(): Promise<boolean> {
    const { systemSql } = this.database
    if (performance.now() - this.lookedAt >= pollMs) {
      this.lookedAt = performance.now()
      // If it cannot say, the events can perhaps be read all the same.
      await this.line.look().catch(() => {})
    }
    this.cursor ??= await this.firstCursor()
    // On many a node most are its own: those need not be read again.
    const rows = await nextSubjects({ connection: systemSql }, { after: this.cursor, limit: maxRows })
    const found = new Map((await this.read(rows)).map((row) => [row.id, row]))
    const late = await this.read([...this.missing.keys()].map((id) => ({ id })))
    for (const row of late) {
      this.missing.delete(row.id)
      this.deliver(row)
    }
    for (const { id } of rows) {
      for (let at = Math.max(this.cursor + 1, id - maxRows); at < id; at += 1) this.missing.set(at, Date.now())
      this.cursor = id
      const row = found.get(id)
      if (row) this.deliver(row)
    }
    forget(this.missing, lateMs, maxRows)
    forget(this.seen, 3 * lateMs)
    return rows.length === maxRows
  }

  /** Reads events that this node does not know. */
  private async read(wanted: { id: number; type?: string; subject?: string }[]): Promise<UsherEvent[]> {
    const unknown = wanted.filter(
      ({ id, type, subject }) => !(type && subject && this.seen.has(keyOf({ id, type, subject }))),
    )
    if (unknown.length === 0) return []
    return eventsByIds({ connection: this.database.systemSql }, { ids: `{${unknown.map(({ id }) => id)}}` })
  }

  /**
   * What others commit while this node starts must not fall between its first reads and its first look, nor between two
   * questions of that look: it is one statement, so that it sees one state of the outbox.
   */
  private async firstCursor(): Promise<number> {
    const [row] = await this.database.system.execute<{ cursor: string }>(sql`
      select coalesce(
        (select min(id) - 1 from ${events} where created_at > now() - ${this.recentMs} * interval '1 millisecond'),
        (select max(id) from ${events}),
        0) as cursor`)
    return Number(row?.cursor ?? 0)
  }
}

const keyOf = ({ id, type, subject }: Pick<UsherEvent, 'id' | 'type' | 'subject'>) => `${id} ${type} ${subject}`

/** What events above an id are about. */
const nextSubjects = prepared((db) =>
  db
    .select({ id: events.id, type: events.type, subject: events.subject })
    .from(events)
    .where(gt(events.id, sql.placeholder('after')))
    .orderBy(asc(events.id))
    .limit(sql.placeholder('limit')),
)

const eventsByIds = prepared((db) =>
  db
    .select()
    .from(events)
    .where(sql`${events.id} = any(${sql.placeholder('ids')}::text::bigint[])`)
    .orderBy(asc(events.id)),
)

/** Deletes entries that are older, or more, than they may be; a map keeps them in the order in which they came. */
function forget<Id>(ids: Map<Id, number>, maxAgeMs: number, maxSize = Number.POSITIVE_INFINITY): void {
  const since = Date.now() - maxAgeMs
  for (const [id, at] of ids) {
    if (at >= since && ids.size <= maxSize) break
    ids.delete(id)
  }
}
