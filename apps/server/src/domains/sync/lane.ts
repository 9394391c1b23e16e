import type { SQL } from 'bun'
import type { Log } from '../../kernel/log.ts'
import type { Entry, Room } from './room.ts'
import { encodeSegment } from './segment.ts'
import { appendSegments, createRoom } from './store.ts'

const roomsAFlush = 512
const bytesAFlush = 8 * 1024 * 1024
const longestPauseMs = 1000

type Callbacks = {
  committed: (room: Room, entries: Entry[]) => void
  /** The room's row is gone: it was deleted. */
  gone: (room: Room) => void
}

/**
 * A group-commit writer with a connection of its own. While a flush is under way the next one gathers: no timer, no
 * waiting for company. A flush is one statement. When its outcome is unknown it is sent again: an update that is
 * stored twice is harmless.
 */
export class Lane {
  private readonly waiting = new Set<Room>()
  private flushing: Promise<void> | undefined
  private stopped = false

  private readonly sql: SQL
  private readonly callbacks: Callbacks
  private readonly log: Log

  constructor(sql: SQL, callbacks: Callbacks, log: Log) {
    this.sql = sql
    this.callbacks = callbacks
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
      try {
        await this.flush(batch)
        pauseMs = 25
      } catch (error) {
        for (const { room } of batch) this.waiting.add(room)
        if (this.stopped) break
        this.log.warn({ err: error }, 'updates could not be stored; trying again')
        await Bun.sleep(pauseMs)
        pauseMs = Math.min(longestPauseMs, pauseMs * 2)
      }
    }
    this.flushing = undefined
  }

  private gather(): { room: Room; entries: Entry[] }[] {
    const batch: { room: Room; entries: Entry[] }[] = []
    let bytes = 0
    for (const room of this.waiting) {
      if (batch.length >= roomsAFlush || bytes >= bytesAFlush) break
      const entries = room.uncommitted(bytesAFlush - bytes)
      this.waiting.delete(room)
      if (entries.length === 0) continue
      for (const { update } of entries) bytes += update.length
      batch.push({ room, entries })
    }
    return batch
  }

  private async flush(batch: { room: Room; entries: Entry[] }[]): Promise<void> {
    if (batch.length === 0) return
    for (const { room } of batch) room.id ??= await createRoom(this.sql, room.instanceId, room.key)
    const heads = await appendSegments(
      this.sql,
      batch.map(({ room, entries }) => ({
        roomId: room.id as number,
        n: entries.length,
        ...encodeSegment(entries.map(({ update, at }) => ({ bytes: update, at }))),
      })),
    )
    for (const { room, entries } of batch) {
      const seq = heads.get(room.id as number)
      if (seq === undefined) {
        this.callbacks.gone(room)
        continue
      }
      const committed = room.commit(entries.length, seq)
      if (room.committed < room.tail.length) this.waiting.add(room)
      this.callbacks.committed(room, committed)
    }
  }
}
