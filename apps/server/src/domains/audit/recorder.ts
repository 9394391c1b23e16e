import { sql } from 'drizzle-orm'
import type { Database } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import type { Log } from '../../kernel/log.ts'
import { type EventSequencer, eventStreams } from '../events/index.ts'
import type { InstanceRegistry } from '../instances/index.ts'
import { batchSize, recordEvents } from './record-events.ts'
import { auditCursors } from './tables.ts'

/** What comes close together is written together. */
const gatherMs = 500
/** How often this node looks for what nobody woke it for. */
const pollMs = 5000

type Server = {
  database: Database
  instances: InstanceRegistry
  sequencer: EventSequencer
  log: Log
  ctxOf: (instance: Ctx['instance']) => Ctx
}

/** Keeps the audit logs of all instances up with their streams. */
export class AuditRecorder {
  private readonly server: Server
  private timer: ReturnType<typeof setTimeout> | undefined
  private running: Promise<void> = Promise.resolve()
  private stopped = false
  private unsubscribe = () => {}
  private dueAt = Number.POSITIVE_INFINITY

  constructor(server: Server) {
    this.server = server
  }

  start(): void {
    this.unsubscribe = this.server.sequencer.subscribe(() => this.schedule(gatherMs))
    this.schedule(gatherMs)
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.unsubscribe()
    clearTimeout(this.timer)
    await this.running
  }

  private schedule(ms: number): void {
    const at = Date.now() + ms
    if (this.stopped || at >= this.dueAt) return
    clearTimeout(this.timer)
    this.dueAt = at
    this.timer = setTimeout(() => {
      this.running = this.running.then(() => this.round())
    }, ms)
  }

  private async round(): Promise<void> {
    this.dueAt = Number.POSITIVE_INFINITY
    try {
      await this.run()
    } catch (error) {
      this.server.log.warn({ err: error }, 'it could not be seen whose audit log is behind; trying again')
    }
    this.schedule(pollMs)
  }

  /** Brings every log up to its stream. */
  async run(): Promise<void> {
    for (const id of await this.behind()) {
      const instance = this.server.instances.find(id)
      if (!instance) continue
      try {
        await this.catchUp(this.server.ctxOf(instance))
      } catch (error) {
        // The log of one instance that cannot be written must not keep the others waiting.
        this.server.log.error({ err: error, instance: id }, 'the audit log could not be written; trying again')
      }
    }
  }

  /** Batch after batch: each is a transaction of its own. */
  private async catchUp(ctx: Ctx): Promise<void> {
    let read: number | undefined = batchSize
    while (read === batchSize && !this.stopped) read = await recordEvents(ctx)
    // Whoever is at it may have looked before that came which this server was woken for.
    if (read === undefined) this.schedule(gatherMs)
  }

  private async behind(): Promise<string[]> {
    const rows = await this.server.database.system
      .select({ instanceId: eventStreams.instanceId })
      .from(eventStreams)
      .leftJoin(auditCursors, sql`${auditCursors.instanceId} = ${eventStreams.instanceId}`)
      .where(sql`${eventStreams.head} > coalesce(${auditCursors.position}, 0)`)
    return rows.map(({ instanceId }) => instanceId)
  }
}
