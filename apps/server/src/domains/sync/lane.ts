import type { SQL } from 'bun'
import type { Log } from '../../kernel/log.ts'
import type { Entry, Room } from './room.ts'

const roomsAFlush = 512
const bytesAFlush = 8 * 1024 * 1024
const longestPauseMs = 1000

export type Batch = { room: Room; entries: Entry[] }[]

/**
 * A group-commit writer with a connection of its own. While a flush is under way the next one gathers: no timer, no
 * waiting for company. A flush that failed is repeated.
 */
export class Lane {
  private readonly waiting = new Set<Room>()
  private flushing: Promise<void> | undefined
  private stopped = false

  private readonly sql: SQL
  private readonly store: (sql: SQL, batch: Batch) => Promise<void>
  private readonly log: Log

  constructor(sql: SQL, store: (sql: SQL, batch: Batch) => Promise<void>, log: Log) {
    this.sql = sql
    this.store = store
    this.log = log
  }

  add(room: Room): void {
    this.waiting.add(room)
    // Not at once: what else arrives in this turn of the loop belongs to the same flush.
    this.flushing ??= Promise.resolve().then(() => this.run())
  }

  /** Resolves when nothing waits any more. */
  async settle(): Promise<void> {
    while (this.flushing) await this.flushing
  }

  /** Gives up retrying. */
  stop(): void {
    this.stopped = true
  }

  private async run(): Promise<void> {
    let pauseMs = 25
    while (this.waiting.size > 0) {
      const batch = this.gather()
      if (batch.length === 0) continue
      const { promise, resolve } = Promise.withResolvers<void>()
      for (const { room } of batch) room.flushing = promise
      try {
        await this.store(this.sql, batch)
        for (const { room } of batch) if (room.hasUncommitted && !room.gone) this.waiting.add(room)
        pauseMs = 25
      } catch (error) {
        for (const { room } of batch) this.waiting.add(room)
        if (this.stopped) break
        this.log.warn({ err: error }, 'updates could not be stored; trying again')
        await Bun.sleep(pauseMs)
        pauseMs = Math.min(longestPauseMs, pauseMs * 2)
      } finally {
        for (const { room } of batch) room.flushing = undefined
        resolve()
      }
    }
    this.flushing = undefined
  }

  private gather(): Batch {
    const batch: Batch = []
    let bytes = 0
    for (const room of this.waiting) {
      if (batch.length >= roomsAFlush || bytes >= bytesAFlush) break
      this.waiting.delete(room)
      // It comes back when that look is over: what it finds stands before what waits here.
      if (room.catching || room.gone) continue
      const entries = room.uncommitted(bytesAFlush - bytes)
      if (entries.length === 0) continue
      for (const entry of entries) bytes += entry.bytes.length
      batch.push({ room, entries })
    }
    return batch
  }
}
