import type { SQL } from 'bun'
import type { Database } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import type { Log } from '../../kernel/log.ts'
import type { EventBus, EventSequencer } from '../events/index.ts'
import { giveUp } from './give-up.ts'
import { Lane, type Patience, type Target, usualPatience } from './lane.ts'
import { type LaneState, LaneStore } from './lane-store.ts'
import type { Post } from './post.ts'
import { openSecrets } from './secrets.ts'
import { type PresentEvents, StreamReader } from './stream-reader.ts'
import type { SealedSecret } from './tables.ts'

export type DispatcherOptions = {
  database: Database
  bus: EventBus
  sequencer: EventSequencer
  log: Log
  /** The context of the server itself in an instance; undefined: there is no such instance any more. */
  ctxOf: (instanceId: string) => Ctx | undefined
  present: PresentEvents
  post: Post
  patience?: Partial<Patience>
  /** How often this node looks for what is due again, and for lanes that another one left. */
  pollMs?: number
}

const usualPollMs = 1000
/** Lanes that a node works on at a time. */
const maxLanes = 500
const connections = 4

/**
 * Delivers events to the endpoints of all instances. Each endpoint has a lane of its own, so that one that is slow or
 * dead holds up nobody else; nodes share the lanes without delivering twice.
 */
export class WebhookDispatcher {
  readonly options: DispatcherOptions
  private readonly node = randomBase62(16)
  private readonly reader: StreamReader
  private readonly lanes = new Set<{ lane: Lane; done: Promise<void> }>()
  private sql: SQL | undefined
  private store: LaneStore | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private round: Promise<void> | undefined
  private again = false
  private stopped = true
  private readonly unsubscribe: (() => void)[] = []

  constructor(options: DispatcherOptions) {
    this.options = options
    this.reader = new StreamReader(options)
  }

  start(): void {
    const { database, bus, sequencer } = this.options
    this.stopped = false
    this.sql = database.connectSystem(connections)
    this.store = new LaneStore(this.sql, this.node)
    this.unsubscribe.push(
      sequencer.subscribe(() => this.wake()),
      bus.subscribe((event) => {
        if (event.type.startsWith('webhookEndpoint.')) void this.refresh(event.subject, event.data.resumed === true)
      }),
    )
    this.wake()
  }

  /** Lets what is under way finish, and leaves the lanes to others. */
  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    for (const end of this.unsubscribe.splice(0)) end()
    await this.round
    for (const { lane } of this.lanes) lane.stop()
    await Promise.all([...this.lanes].map(({ done }) => done))
    await this.sql?.close({ timeout: 5 })
  }

  /** Looks for lanes that have something to do. */
  wake(): void {
    if (this.stopped) return
    if (this.round) {
      this.again = true
      return
    }
    clearTimeout(this.timer)
    this.again = false
    this.round = this.claim()
      .catch((error) => this.options.log.warn({ err: error }, 'webhooks could not be looked after; trying again'))
      .finally(() => {
        this.round = undefined
        if (this.stopped) return
        if (this.again) this.wake()
        else this.timer = setTimeout(() => this.wake(), this.options.pollMs ?? usualPollMs)
      })
  }

  private async claim(): Promise<void> {
    const free = maxLanes - this.lanes.size
    if (!this.store || free <= 0) return
    const claimed = await this.store.claim(free)
    const targets = await this.targetsOf([...new Set(claimed.map((state) => state.endpointId))])
    for (const state of claimed) {
      const target = targets.get(state.endpointId)
      const ctx = this.options.ctxOf(state.instanceId)
      if (target && ctx) this.run(state, target, ctx)
    }
  }

  private run(state: LaneState, target: Target, ctx: Ctx): void {
    const { post, log, patience } = this.options
    const { reader } = this
    const lane = new Lane(state, target, {
      store: this.store as LaneStore,
      reader,
      post,
      patience: { ...usualPatience, disableAfterHours: ctx.instance.settings.webhooks.disableAfterHours, ...patience },
      ctx,
      log,
      disable: (reason) => giveUp(ctx, { id: state.endpointId, reason }),
    })
    const done = lane
      .work()
      .catch(async (error) => {
        log.warn({ err: error, endpoint: state.endpointId }, 'webhooks of an endpoint were interrupted')
        // Not before a while: what went wrong may go on for a moment.
        await Bun.sleep(this.options.pollMs ?? usualPollMs)
        await this.store?.release(state).catch(() => {})
      })
      .finally(() => {
        this.lanes.delete(entry)
        // What came while it was being left is nobody's until somebody looks.
        this.wake()
      })
    const entry = { lane, done }
    this.lanes.add(entry)
  }

  /** Has lanes go by what was changed. @param resumed they have been taken from whoever was at work on them */
  private async refresh(endpointId: string, resumed: boolean): Promise<void> {
    const affected = [...this.lanes].filter(({ lane }) => lane.state.endpointId === endpointId)
    if (resumed) for (const { lane } of affected) lane.abandon()
    this.wake()
    if (affected.length === 0) return
    try {
      const target = (await this.targetsOf([endpointId])).get(endpointId)
      for (const { lane } of affected) {
        if (target) lane.target = target
        else lane.stop()
      }
    } catch (error) {
      this.options.log.warn({ err: error, endpoint: endpointId }, 'an endpoint could not be read again')
      for (const { lane } of affected) lane.stop()
    }
  }

  /** What is delivered where; endpoints that are disabled or gone are not among them. */
  private async targetsOf(ids: string[]): Promise<Map<string, Target>> {
    if (!this.sql || ids.length === 0) return new Map()
    const rows: Row[] = await this.sql`select id, url, event_types, secrets from webhook_endpoints
      where disabled_at is null and id = any(${`{${ids.join(',')}}`}::text[])`
    return new Map(rows.map((row) => [row.id, this.targetOf(row)]))
  }

  private targetOf({ id, url, event_types, secrets }: Row): Target {
    const { keyring } = this.options.database
    const opened = secrets.map((s) => ({ ...s, secret: openSecrets(keyring, id, [s], new Date(0))[0] ?? '' }))
    return {
      url,
      eventTypes: event_types,
      secrets: () =>
        opened.filter((s) => s.expiresAt === null || Date.parse(s.expiresAt) > Date.now()).map((s) => s.secret),
    }
  }
}

type Row = { id: string; url: string; event_types: string[] | null; secrets: SealedSecret[] }
