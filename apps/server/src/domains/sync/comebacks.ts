import type { SQL } from 'bun'
import { DatabaseLine } from '../../database/index.ts'
import type { Log } from '../../kernel/log.ts'
import type { CloseReason } from './close-codes.ts'
import { putBack } from './put-back.ts'
import type { Room } from './room.ts'

type Rooms = {
  /** Rooms in memory. */
  readonly open: Iterable<Room>
  /** Rooms that are being read. */
  readonly opening: Iterable<Promise<Room>>
  /** Nothing is appended to the room any more. */
  drop: (room: Room) => void
  /** Sends everybody away, and forgets the room. */
  close: (room: Room, reason: CloseReason, message: string) => void
}

const atOnce = 4
const shortestPauseMs = 50
const longestPauseMs = 2000
/** A database that answers and refuses is asked so often; one that does not answer, until it does. */
const refusalsTaken = 5
const message = 'the database has changed: come back'

/**
 * Rooms of which the database has lost the end: what this node holds of them is put back, and everybody comes back with
 * the rest. What is held here may be held nowhere else, so it is not given up while the database comes and goes.
 */
export class Comebacks {
  private readonly line: DatabaseLine
  private readonly under = new Map<Room, Promise<void>>()
  private stopped = false

  private readonly sql: SQL
  private readonly log: Log
  private readonly rooms: Rooms

  constructor(sql: SQL, log: Log, rooms: Rooms) {
    this.sql = sql
    this.log = log
    this.rooms = rooms
    this.line = new DatabaseLine(sql, () => this.anotherDatabase())
    // Before anybody writes: a database that is replaced in the first second must be known by then.
    this.look()
  }

  /** Looks whether the database is another one than before. While it does not answer there is nothing to compare. */
  look(): void {
    this.line.look().catch(() => {})
  }

  /** A room of which the database has less than this node has seen committed; `isThere`: it has some of it. */
  rewound(room: Room, isThere: boolean): void {
    void this.judge(room, isThere)
  }

  /** Resolves when everything is put back that can be. */
  async settle(): Promise<void> {
    while (this.under.size > 0) await Promise.all(this.under.values())
  }

  stop(): void {
    this.stopped = true
  }

  private async judge(room: Room, isThere: boolean): Promise<void> {
    // Twice: the first answer may be to a question of before.
    const isOther = await this.insist(room, async () => (await this.line.look()) || (await this.line.look()))
    // Of another database every room is looked at, this one too.
    if (isOther || isOther === undefined) return this.rooms.close(room, 'storage_unavailable', message)
    if (!isThere) return this.rooms.close(room, 'room_deleted', 'the document is gone')
    await this.comeBack(room)
  }

  /** A replica has taken the place of its primary, perhaps without the last commits. */
  private async anotherDatabase(): Promise<void> {
    const rooms = [...this.rooms.open]
    this.log.error(
      { rooms: rooms.length },
      'the database is another one than before: its rooms are compared and opened anew',
    )
    for (const opening of this.rooms.opening)
      void opening.then((room) => this.rooms.close(room, 'storage_unavailable', message)).catch(() => {})
    for (const room of rooms) this.rooms.drop(room)
    const work = async () => {
      for (let room = rooms.pop(); room; room = rooms.pop()) await this.comeBack(room)
    }
    await Promise.all(Array.from({ length: atOnce }, work))
  }

  private comeBack(room: Room): Promise<void> {
    const under = this.under.get(room)
    if (under) return under
    const work = this.restore(room).finally(() => this.under.delete(room))
    this.under.set(room, work)
    return work
  }

  private async restore(room: Room): Promise<void> {
    this.rooms.drop(room)
    // Over a line to the database before it may never end.
    await Promise.race([room.flushing, Bun.sleep(2000)])
    const entries = await this.insist(room, () => putBack(this.sql, room))
    if (entries) this.log.warn({ room: room.id, entries }, 'what the database had lost of a document was put back')
    this.rooms.close(room, 'storage_unavailable', message)
  }

  /**
   * Repeats a question to the database until it is answered: while one takes another's place, connections end and
   * statements are refused.
   *
   * @returns undefined when it is given up
   */
  private async insist<T>(room: Room, ask: () => Promise<T>): Promise<T | undefined> {
    let refusals = 0
    for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      try {
        return await ask()
      } catch (error) {
        if (!mayPass(error) && ++refusals >= refusalsTaken) {
          this.log.error(
            { err: error, room: room.id },
            'what the database had lost of a document could not be put back',
          )
          return undefined
        }
        if (this.stopped) {
          this.log.error({ err: error, room: room.id }, 'what the database had lost of a document was not put back')
          return undefined
        }
        this.log.warn({ err: error, room: room.id }, 'what the database has lost cannot be put back yet; trying again')
      }
      await Bun.sleep(pauseMs)
    }
  }
}

/**
 * SQLSTATE: a connection that ended (08), a standby that takes no writes yet (25006), a transaction that collided (40),
 * a full disk or no more connections (53), a lock (55P03), a database that starts or stops (57). No code: no answer.
 */
function mayPass(error: unknown): boolean {
  const { errno } = error as { errno?: unknown }
  return typeof errno !== 'string' || /^(08|40|53|57|25006|55P03)/.test(errno)
}
