import type { SQL } from 'bun'
import type { Log } from '../../kernel/log.ts'
import { realtimeCommitSeconds } from '../../kernel/metrics.ts'
import type { Entry, Room } from './room.ts'

const roomsAFlush = 512
const bytesAFlush = 8 * 1024 * 1024
const longestPauseMs = 1000

/** How long a flush waits for a lock: an append holds one for milliseconds. */
export const laneSettings = { lock_timeout: '500' }
const heldPauseMs = 1000

/** SQLSTATE 55P03, `lock_not_available`. */
const isLockTimeout = (error: unknown) => (error as { errno?: unknown } | undefined)?.errno === '55P03'

export type Batch = { room: Room; entries: Entry[] }[]

/**
 * A group-commit writer with a connection of its own. While a flush is under way the next one gathers: no timer, no
 * waiting for company. A flush that failed is repeated.
 */
export class Lane {
  private readonly waiting = new Set<Room>()
  private flushing: Promise<void> | undefined
  private stopped = false
  /** Rooms that are flushed by themselves: one of them may be locked. */
  private alone = new Set<Room>()
  /** Rooms that are locked and wait for their next turn. */
  private heldRooms = 0

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
    while (this.flushing || this.heldRooms > 0) await (this.flushing ?? Bun.sleep(20))
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
        const start = performance.now()
        await this.store(this.sql, batch)
        realtimeCommitSeconds.observe({ plane: 'sync' }, (performance.now() - start) / 1000)
        for (const { room } of batch) if (room.hasUncommitted && !room.gone) this.waiting.add(room)
        pauseMs = 25
      } catch (error) {
        for (const { room } of batch) this.waiting.add(room)
        if (this.stopped) break
        if (isLockTimeout(error) && this.setAside(batch)) continue
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

  /**
   * Somebody holds a room's lock, perhaps a node that stands still: the rooms of the batch are tried one by one, and the
   * one that is held has to wait, so that it does not hold up the others.
   *
   * @returns whether there is something else to do meanwhile
   */
  private setAside(batch: Batch): boolean {
    if (batch.length > 1) {
      this.alone = new Set(batch.map(({ room }) => room))
      return true
    }
    const [held] = batch
    if (!held) return false
    this.log.warn({ room: held.room.id }, 'a document is locked by somebody else; trying again')
    this.waiting.delete(held.room)
    this.heldRooms++
    setTimeout(() => {
      this.heldRooms--
      this.alone.add(held.room)
      if (!this.stopped) this.add(held.room)
    }, heldPauseMs)
    return true
  }

  private gather(): Batch {
    for (const room of this.alone) {
      this.alone.delete(room)
      const batch = this.waiting.has(room) ? this.gatherFrom([room]) : []
      if (batch.length > 0) return batch
    }
    return this.gatherFrom(this.waiting)
  }

  private gatherFrom(rooms: Iterable<Room>): Batch {
    const batch: Batch = []
    let bytes = 0
    for (const room of rooms) {
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
