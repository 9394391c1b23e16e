import type { SQL } from 'bun'
import type { Log } from '../../kernel/log.ts'
import { realtimeCommitSeconds } from '../../kernel/metrics.ts'
import type { Entry, Room } from './room.ts'

const roomsAFlush = 512
const bytesAFlush = 8 * 1024 * 1024
const shortestPauseMs = 25
const longestPauseMs = 1000
/** A flush that takes longer than this is not waited for: the next one goes by another connection. */
const patienceMs = 25
/**
 * A flush of few entries costs the database nearly what one of many does. So many of them may follow each other at once;
 * of more than this they are made every few milliseconds, and have more to carry.
 */
const smallFlush = 4
const smallFlushesAtOnce = 25
const smallFlushEveryMs = 4

/**
 * How long a flush waits for a lock: an append holds one for milliseconds. Its statement is planned once, by its indexes
 * (a plan from before a table grew would read all of it): planning is a fifth of a small append.
 */
export const laneSettings = { lock_timeout: '500', plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off' }
const heldPauseMs = 1000

/** SQLSTATE 55P03, `lock_not_available`. */
const isLockTimeout = (error: unknown) => (error as { errno?: unknown } | undefined)?.errno === '55P03'

export type Batch = { room: Room; entries: Entry[] }[]

/**
 * Group commit. While a flush is under way the next one gathers, of all rooms: few statements with many rows cost the
 * database the least. Only when one takes long (a slow disk, a lock) the next one overtakes it on a connection of its
 * own. A room is in one flush at a time, and a flush that failed is repeated.
 */
export class Lanes {
  private readonly waiting = new Set<Room>()
  private readonly idle: SQL[]
  private readonly flushes = new Set<Promise<void>>()
  private lastStart = 0
  /** How many small flushes may still be made without a pause, as of `allowedAt`. */
  private allowed = smallFlushesAtOnce
  private allowedAt = performance.now()
  private isWoken = false
  private timer: ReturnType<typeof setTimeout> | undefined
  private stopped = false
  private pauseMs = shortestPauseMs
  private pausedUntil = 0
  /** Rooms that are flushed by themselves: one of them may be locked. */
  private readonly alone = new Set<Room>()
  /** Rooms that are locked and wait for their next turn. */
  private readonly held = new Set<Room>()

  private readonly store: (sql: SQL, batch: Batch) => Promise<void>
  private readonly log: Log

  /** @param drivers of one connection each */
  constructor(drivers: readonly SQL[], store: (sql: SQL, batch: Batch) => Promise<void>, log: Log) {
    this.idle = [...drivers]
    this.store = store
    this.log = log
  }

  add(room: Room): void {
    if (this.held.has(room)) return
    this.waiting.add(room)
    if (this.isWoken || this.idle.length === 0) return
    this.isWoken = true
    // Not at once: what else arrives in this turn of the loop belongs to the same flush.
    setImmediate(() => {
      this.isWoken = false
      this.pump()
    })
  }

  /** Resolves when nothing waits any more. */
  async settle(): Promise<void> {
    while (!this.stopped && (this.flushes.size > 0 || this.waiting.size > 0 || this.held.size > 0))
      await (this.flushes.size > 0 ? Promise.race(this.flushes) : Bun.sleep(5))
  }

  /** Gives up retrying. */
  stop(): void {
    this.stopped = true
    clearTimeout(this.timer)
  }

  private pump() {
    while (this.waiting.size > 0 && this.idle.length > 0 && !this.stopped) {
      const now = performance.now()
      const notBefore = Math.max(this.pausedUntil, this.flushes.size > 0 ? this.lastStart + patienceMs : 0)
      const waitMs = Math.max(notBefore - now, this.untilAllowed(now))
      if (waitMs > 0) return this.pumpAfter(waitMs)
      const batch = this.gather()
      if (batch.length === 0) continue
      this.lastStart = now
      if (isSmall(batch)) this.allowed--
      const sql = this.idle.pop() as SQL
      const flush = this.flush(sql, batch).finally(() => {
        this.flushes.delete(flush)
        this.idle.push(sql)
        this.pump()
      })
      this.flushes.add(flush)
    }
  }

  /** @returns milliseconds until a flush may be made: it is not known yet whether it will be a small one */
  private untilAllowed(now: number): number {
    this.allowed = Math.min(smallFlushesAtOnce, this.allowed + (now - this.allowedAt) / smallFlushEveryMs)
    this.allowedAt = now
    return this.allowed >= 1 ? 0 : (1 - this.allowed) * smallFlushEveryMs
  }

  private pumpAfter(ms: number): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      this.pump()
    }, ms)
  }

  private async flush(sql: SQL, batch: Batch): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    for (const { room } of batch) room.flushing = promise
    try {
      const start = performance.now()
      await this.store(sql, batch)
      realtimeCommitSeconds.observe({ plane: 'sync' }, (performance.now() - start) / 1000)
      this.pauseMs = shortestPauseMs
    } catch (error) {
      if (!this.stopped && !(isLockTimeout(error) && this.setAside(batch))) {
        this.log.warn({ err: error }, 'updates could not be stored; trying again')
        this.pausedUntil = performance.now() + this.pauseMs
        this.pauseMs = Math.min(longestPauseMs, this.pauseMs * 2)
      }
    } finally {
      for (const { room } of batch) {
        room.flushing = undefined
        if (room.hasUncommitted && !room.gone && !this.held.has(room)) this.waiting.add(room)
      }
      resolve()
    }
  }

  /**
   * Somebody holds a room's lock, perhaps a node that stands still: the rooms of the batch are tried one by one, and the
   * one that is held has to wait, so that it does not hold up the others.
   *
   * @returns whether there is something else to do meanwhile
   */
  private setAside(batch: Batch): boolean {
    if (batch.length > 1) {
      for (const { room } of batch) this.alone.add(room)
      return true
    }
    const [held] = batch
    if (!held) return false
    this.log.warn({ room: held.room.id }, 'a document is locked by somebody else; trying again')
    this.held.add(held.room)
    setTimeout(() => {
      this.held.delete(held.room)
      this.alone.add(held.room)
      if (!this.stopped && held.room.hasUncommitted && !held.room.gone) this.add(held.room)
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
      // It comes back when that flush or that look is over: what a look finds stands before what waits here.
      if (room.flushing || room.catching || room.gone) continue
      const entries = room.uncommitted(bytesAFlush - bytes)
      if (entries.length === 0) continue
      for (const entry of entries) bytes += entry.bytes.length
      batch.push({ room, entries })
    }
    return batch
  }
}

function isSmall(batch: Batch): boolean {
  let entries = 0
  for (const one of batch) entries += one.entries.length
  return entries <= smallFlush
}
