import type { Database } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import type { Log } from '../../kernel/log.ts'
import type { InstanceRegistry } from '../instances/index.ts'
import { deleteWhatIsOver } from './delete-what-is-over.ts'

/** Between runs; the first comes sooner, and not on all nodes at one moment. */
const everyMs = 10 * 60_000
const firstMs = 30_000
/** Of PostgreSQL's advisory locks: the one that the node holds which does this. */
const lockId = 39_130_003

type Server = { database: Database; instances: InstanceRegistry; log: Log; ctxOf: (instance: Ctx['instance']) => Ctx }

/**
 * Deletes what is over, now and then, in every instance. Of all servers on a database one does it at a time: the lock
 * goes with its connection, so one that dies leaves it to the next.
 */
export class Upkeep {
  private readonly server: Server
  private timer: ReturnType<typeof setTimeout> | undefined
  private running: Promise<unknown> = Promise.resolve()
  private stopped = false

  constructor(server: Server) {
    this.server = server
  }

  start(): void {
    const schedule = (ms: number) => {
      this.timer = setTimeout(() => {
        this.running = this.run().then(() => {
          if (!this.stopped) schedule(everyMs)
        })
      }, ms)
    }
    schedule(firstMs + Math.random() * firstMs)
  }

  /** Waits for the batch under way, and begins no other. */
  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    await this.running
  }

  /** One run. @returns how many rows went, or undefined when another server is at it or it failed */
  async run(): Promise<number | undefined> {
    const { database, instances, log, ctxOf } = this.server
    const connection = database.connectSystem(1)
    try {
      const [lock] = await connection`select pg_try_advisory_lock(${lockId}) as held`
      if (!lock?.held) return undefined
      let total = await instances.deleteRetiredKeys()
      for (const instance of instances.list()) {
        if (this.stopped) break
        total += await deleteWhatIsOver(ctxOf(instance), { mayGoOn: () => !this.stopped })
      }
      if (total > 0) log.info({ rows: total }, 'deleted what is over')
      return total
    } catch (error) {
      log.warn({ err: error }, 'what is over could not be deleted')
      return undefined
    } finally {
      await connection.close()
    }
  }
}
