import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import type { Log } from '../../kernel/log.ts'
import { webhookAttempts } from '../../kernel/metrics.ts'
import { findEvents, type StreamEvent } from '../events/index.ts'
import { wants } from './event-types.ts'
import type { LaneState, LaneStore, Result } from './lane-store.ts'
import type { Answer, Post } from './post.ts'
import { signatureHeaders } from './secrets.ts'
import { messageIdOf, type StreamReader } from './stream-reader.ts'

/** What a lane knows of its endpoint. It is replaced when the endpoint changes. */
export type Target = { url: string; eventTypes: readonly string[] | null; secrets: () => string[] }

export type Patience = {
  /** Seconds until the second attempt, the third, … After the last one a delivery has failed. */
  retrySeconds: readonly number[]
  /** Refusals in a row after which the whole endpoint is left alone for a while: it is down, and not one event bad. */
  tolerated: number
  /** Seconds for which it is left alone, again and again, until something is accepted. */
  pauseSeconds: readonly number[]
  /** Hours of refusals after which it is disabled. */
  disableAfterHours: number
}

export const usualPatience: Patience = {
  retrySeconds: [5, 300, 1800, 7200, 18_000, 36_000, 36_000, 86_400, 86_400],
  tolerated: 10,
  pauseSeconds: [5, 30, 120, 300, 900, 1800, 3600, 7200],
  disableAfterHours: 120,
}

export type LaneOptions = {
  store: LaneStore
  reader: StreamReader
  post: Post
  patience: Patience
  ctx: Ctx
  log: Log
  /** Called when the endpoint has failed for too long, or says that it is gone. */
  disable: (reason: 'failing' | 'gone') => Promise<unknown>
}

/** One delivery that is not settled yet. */
type Item = { event: StreamEvent; body: string | undefined; attempts: number; isRetry: boolean }

/** Deliveries in memory at a time, under way or next. */
const windowSize = 200
const firstConcurrency = 8
/** A slow receiver gets more at a time as long as it accepts them. */
const maxConcurrency = 64
/** With more than this waiting, nothing new is begun until they are settled. */
const maxWaiting = 1000
/** What was delivered is written down together; after a crash so much of it comes once more. */
const flushMs = 1000
/** The longest that a lane sleeps when nothing happens. */
const restMs = 250
const flushSize = 500
const renewMs = 10_000

/**
 * Delivers a part of a stream to one endpoint. Deliveries about one subject go one after the other; the rest go side by
 * side, as many at a time as the receiver bears. What is refused waits for another attempt, and what comes later about
 * the same subject waits behind it.
 */
export class Lane {
  readonly state: LaneState
  target: Target
  private readonly options: LaneOptions
  /** By position, until it is settled. */
  private readonly open = new Map<number, Item>()
  /** Items whose turn it is. */
  private readonly ready: Item[] = []
  /** Items behind another one about the same subject that is open. */
  private readonly lines = new Map<string, Item[]>()
  private underWay = 0
  private concurrency = firstConcurrency
  private quickestMs = Number.POSITIVE_INFINITY
  private results: Result[] = []
  /** Everything up to here was read. */
  private readTo: number
  private settled = new Set<number>()
  private atEnd = false
  private blocked = new Set<string>()
  private waiting = 0
  private retryAt: number | undefined
  private flushedAt = Date.now()
  private pauseSeconds: number | undefined
  /** The endpoint is down as far as is known: one delivery at a time tries whether it still is. */
  private probing: boolean
  private recovered = false
  private gone = false
  private lost = false
  private stopping = false
  private wake: () => void = () => {}

  constructor(state: LaneState, target: Target, options: LaneOptions) {
    this.state = state
    this.target = target
    this.options = options
    this.readTo = state.cursor
    this.probing = state.failures >= options.patience.tolerated
    if (this.probing) this.concurrency = 1
  }

  /** Begins nothing new; what is under way is waited for. */
  stop(): void {
    this.stopping = true
    this.wake()
  }

  /** Ends without writing anything down: what it knows of its endpoint counts no more. */
  abandon(): void {
    this.lost = true
    this.wake()
  }

  /** Works until there is nothing to do, the endpoint is left alone or the lane belongs to somebody else. */
  async work(): Promise<void> {
    const { store } = this.options
    this.settled = new Set(await store.settledBeyond(this.state))
    await this.readWaiting()
    this.retryAt = this.waiting > 0 ? Date.now() : undefined
    while (!this.isOver()) {
      await this.fill()
      this.launch()
      if (this.isOver()) break
      if (this.open.size === 0 && this.atEnd && this.results.length === 0 && !this.mayRetry()) break
      if (this.open.size > 0) await this.somethingHappens()
      if (this.mustFlush()) await this.flush()
    }
    while (this.underWay > 0) await this.somethingHappens()
    if (this.lost) return store.release(this.state)
    await this.flush({ release: true })
    const { failingSince } = this.state
    const tooLong =
      failingSince !== null && Date.now() - failingSince > this.options.patience.disableAfterHours * 3_600_000
    if (this.gone) await this.options.disable('gone')
    else if (tooLong && this.pauseSeconds !== undefined && this.state.run === 0) await this.options.disable('failing')
  }

  private isOver(): boolean {
    return this.stopping || this.lost || this.gone || this.pauseSeconds !== undefined
  }

  private mayRetry(): boolean {
    return this.retryAt !== undefined && this.retryAt <= Date.now()
  }

  private somethingHappens(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, restMs)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private mustFlush(): boolean {
    const age = Date.now() - this.flushedAt
    if (age > renewMs || this.results.length >= flushSize) return true
    return this.results.length > 0 && (age >= flushMs || this.open.size === 0)
  }

  /** Takes in what is next: attempts that are due again, then the stream. */
  private async fill(): Promise<void> {
    const room = this.probing ? 1 : windowSize
    if (this.open.size > room / 2) return
    // Only when all is written down do the rows say what waits.
    const clear = this.results.length === 0 && ![...this.open.values()].some((item) => item.isRetry)
    // Every other try is with something new: what waits may be what this receiver never takes.
    if (this.probing && this.state.pauses % 2 === 1) await this.fillFromStream(room)
    if (
      clear &&
      (!this.probing || this.open.size === 0) &&
      this.retryAt !== undefined &&
      (this.probing || this.mayRetry())
    )
      await this.fillRetries(room)
    if (this.probing && this.open.size > 0) return
    if (this.waiting >= maxWaiting) this.atEnd = true
    else await this.fillFromStream(room)
  }

  private async fillRetries(room: number): Promise<void> {
    const { store, reader, ctx } = this.options
    const waiting = await store.firstWaiting(this.state, room, !this.probing)
    this.retryAt = undefined
    const free = waiting.filter((w) => !this.lines.has(w.subject) && !this.open.has(w.position))
    const events = await transaction(ctx, (tx) =>
      findEvents(
        tx,
        free.map((w) => w.position),
      ),
    )
    const bodies = await reader.make(this.state.instanceId, events)
    for (const { position, attempts, subject } of free) {
      const i = events.findIndex((e) => e.position === position)
      const event = events[i]
      if (event) this.take({ event, body: bodies[i], attempts, isRetry: true })
      else this.note({ position, message_id: '', type: '', attempts }, 'failed', { error: 'event_deleted', subject })
    }
  }

  private async fillFromStream(room: number): Promise<void> {
    const { reader } = this.options
    const { instanceId, until } = this.state
    while (this.open.size < room) {
      const last = until ?? Number.POSITIVE_INFINITY
      if (this.readTo >= last) {
        this.atEnd = true
        return
      }
      const part = await reader.read(instanceId, this.readTo)
      const inReach = part.events.filter((e) => e.position <= last)
      const free = inReach.filter((e) => !this.settled.has(e.position) && wants(this.target.eventTypes, e.type))
      const chosen = free.slice(0, room - this.open.size)
      const bodies = await reader.bodies(instanceId, chosen)
      for (const [i, event] of chosen.entries()) this.take({ event, body: bodies[i], attempts: 0, isRetry: false })
      this.readTo = chosen.length < free.length ? (chosen.at(-1)?.position ?? this.readTo) : Math.min(part.end, last)
      this.atEnd = chosen.length === free.length && (part.atHead || this.readTo >= last)
      if (this.atEnd) return
    }
    this.atEnd = false
  }

  private take(item: Item): void {
    const { position, subject } = item.event
    this.open.set(position, item)
    const line = this.lines.get(subject)
    if (line) line.push(item)
    else {
      this.lines.set(subject, [])
      this.ready.push(item)
    }
  }

  private launch(): void {
    while (this.underWay < Math.floor(this.concurrency) && !this.isOver()) {
      const item = this.ready.shift()
      if (!item) return
      const { subject } = item.event
      if (!item.isRetry && this.blocked.has(subject)) this.putBehind(item)
      else if (item.body === undefined) this.settle(item, 'skipped', { error: 'gone' })
      else this.send(item, item.body)
    }
  }

  private send(item: Item, body: string): void {
    this.underWay += 1
    const { post, log } = this.options
    const id = messageIdOf(item.event)
    const headers = signatureHeaders(this.target.secrets(), { id, timestamp: Math.floor(Date.now() / 1000), body })
    post(this.target.url, headers, body)
      .then((answer) => this.judge(item, answer))
      .catch((error) => {
        log.error({ err: error }, 'a delivery could not be judged')
        this.lost = true
      })
      .finally(() => {
        this.underWay -= 1
        this.launch()
        if (this.open.size <= windowSize / 2 || this.results.length >= flushSize || this.isOver()) this.wake()
      })
  }

  private judge(item: Item, answer: Answer): void {
    item.attempts += 1
    webhookAttempts.inc({ outcome: answer.error ?? 'accepted' })
    const { state } = this
    const { patience } = this.options
    if (answer.error === null) {
      this.adapt(answer.durationMs)
      if (state.failures > 0) {
        this.recovered ||= this.probing
        this.probing = false
        Object.assign(state, { failures: 0, pauses: 0, failingSince: null })
      }
      this.settle(item, 'delivered', { answer })
      return
    }
    this.concurrency = Math.max(1, this.concurrency / 2)
    state.failures += 1
    state.failingSince ??= Date.now()
    this.gone ||= answer.status === 410
    const pause = patience.retrySeconds[item.attempts - 1]
    const isDown = state.failures >= patience.tolerated
    // An event is given up only by a receiver that takes others: one that is down loses nothing.
    if (pause === undefined && !isDown) {
      this.settle(item, 'failed', { answer })
      return
    }
    const wait = Math.max(spread(pause ?? patience.retrySeconds.at(-1) ?? 0), answer.retryAfterSeconds ?? 0)
    this.settle(item, 'waiting', { answer, wait })
    if (answer.retryAfterSeconds !== undefined) this.pause(answer.retryAfterSeconds)
    else if (isDown) {
      this.pause(spread(patience.pauseSeconds[Math.min(state.pauses, patience.pauseSeconds.length - 1)] ?? 0))
      state.pauses += 1
    }
  }

  /**
   * More at a time for a receiver that takes its time anyway; fewer when the time grows with the number, because then they
   * only wait, there or here.
   */
  private adapt(durationMs: number): void {
    this.quickestMs = Math.min(this.quickestMs, Math.max(durationMs, 5))
    const step = 1 / this.concurrency
    if (durationMs <= 2 * this.quickestMs) this.concurrency = Math.min(maxConcurrency, this.concurrency + step)
    else if (this.concurrency > firstConcurrency) this.concurrency -= step
    else this.concurrency = Math.min(firstConcurrency, this.concurrency + step)
  }

  /** Leaves the endpoint alone: what was not begun yet goes back to the stream. */
  private pause(seconds: number): void {
    if (this.pauseSeconds !== undefined) return
    this.pauseSeconds = seconds
    this.ready.length = 0
    for (const line of this.lines.values()) line.length = 0
  }

  private putBehind(item: Item): void {
    this.note(noteOf(item), 'waiting', { subject: item.event.subject })
    this.close(item)
  }

  private settle(
    item: Item,
    outcome: Result['state'],
    details: { answer?: Answer; error?: string; wait?: number } = {},
  ): void {
    const { subject } = item.event
    const waits = outcome === 'waiting'
    this.note(noteOf(item), outcome, { ...details, subject })
    if (waits) {
      this.blocked.add(subject)
      const line = this.lines.get(subject)
      // They go behind it in the rows, unless the lane pauses: then they are read again.
      for (const behind of line?.splice(0) ?? []) this.putBehind(behind)
    }
    this.close(item)
  }

  /** Ends an item, and begins what stood behind it. */
  private close(item: Item): void {
    const { position, subject } = item.event
    this.open.delete(position)
    const next = this.lines.get(subject)?.shift()
    if (next) this.ready.unshift(next)
    else this.lines.delete(subject)
  }

  private note(
    item: Pick<Result, 'position' | 'message_id' | 'type' | 'attempts'>,
    outcome: Result['state'],
    { answer, error, wait, subject }: { answer?: Answer; error?: string; wait?: number; subject: string },
  ): void {
    const waits = outcome === 'waiting'
    if (waits) this.waiting += 1
    this.results.push({
      ...item,
      subject: waits ? subject : null,
      state: outcome,
      wait_seconds: wait ?? null,
      response_status: answer?.status ?? null,
      error: answer?.error ?? error ?? null,
      duration_ms: answer?.durationMs ?? null,
    })
  }

  private async flush({ release = false } = {}): Promise<void> {
    const { store } = this.options
    const results = this.results.splice(0)
    const { recovered } = this
    this.recovered = false
    this.flushedAt = Date.now()
    const promote = this.waiting > 0
    this.state.cursor = this.firstOpen() - 1
    const saved = await store.save(this.state, results, {
      release,
      recovered,
      promote,
      pauseSeconds: this.pauseSeconds,
    })
    if (!saved) {
      this.lost = true
      return
    }
    this.retryAt = saved.retryInMs === null ? undefined : Date.now() + saved.retryInMs
    if (promote && !release) await this.readWaiting()
    for (const position of this.settled) if (position <= this.state.cursor) this.settled.delete(position)
  }

  /** The lowest position that is neither settled nor written down. Attempts made again are written down already. */
  private firstOpen(): number {
    let first = this.readTo + 1
    for (const { event, isRetry } of this.open.values()) if (!isRetry) first = Math.min(first, event.position)
    return first
  }

  private async readWaiting(): Promise<void> {
    const { subjects, total } = await this.options.store.waitingSubjects(this.state)
    const unwritten = this.results.filter((r) => r.state === 'waiting')
    this.waiting = total + unwritten.length
    this.blocked = new Set([...subjects, ...unwritten.map((r) => r.subject ?? '')])
  }
}

const noteOf = ({ event, attempts }: Item) => ({
  position: event.position,
  message_id: messageIdOf(event),
  type: event.type,
  attempts,
})

/** A tenth more or less, so that what failed together does not come back together. */
const spread = (seconds: number) => seconds * (0.9 + Math.random() * 0.2)
