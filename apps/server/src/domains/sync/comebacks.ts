import type { SQL } from 'bun'
import { DatabaseLine } from '../../database/index.ts'
import { inTime, NoAnswer } from '../../kernel/in-time.ts'
import type { Log } from '../../kernel/log.ts'
import type { CloseReason } from './close-codes.ts'
import { putBack } from './put-back.ts'
import type { Room } from './room.ts'
import type { Rewound } from './room-log.ts'

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

type Options = {
  sql: SQL
  log: Log
  rooms: Rooms
  /** Milliseconds for which a database that answers may refuse. */
  refusedForMs?: number
}

const atOnce = 4
const shortestPauseMs = 50
const longestPauseMs = 2000
const answerMs = 20_000
const message = 'the database has changed: come back'

/**
 * Rooms of which the database has lost the end: what this node holds of them is put back, and everybody comes back with
 * the rest. What is held here may be held nowhere else, so it is not given up while the database comes and goes.
 */
export class Comebacks {
  /** Whether the last look was answered: until the next one is, what is held may be missing in the database. */
  isAnswered = true

  private readonly line: DatabaseLine
  private readonly under = new Map<Room, Promise<void>>()
  private readonly working = new Set<Promise<void>>()
  /** How often the database has become another one. */
  private changes = 0
  private stopped = false

  private readonly sql: SQL
  private readonly log: Log
  private readonly rooms: Rooms
  private readonly refusedForMs: number

  constructor({ sql, log, rooms, refusedForMs = 60_000 }: Options) {
    this.sql = sql
    this.log = log
    this.rooms = rooms
    this.refusedForMs = refusedForMs
    this.line = new DatabaseLine(sql, () => this.work(this.anotherDatabase()))
    // Before anybody writes: a database that is replaced in the first second must be known by then.
    this.look()
  }

  /** Looks whether the database is another one than before. While it does not answer there is nothing to compare. */
  look(): void {
    this.line.look().then(
      () => {
        this.isAnswered = true
      },
      () => {
        this.isAnswered = false
      },
    )
  }

  /** A room of which the database has not what this node has seen committed. */
  rewound(room: Room, found: Rewound): void {
    this.work(this.judge(room, found))
  }

  /** Resolves when everything is put back that can be. */
  async settle(): Promise<void> {
    while (this.working.size > 0) await Promise.all(this.working)
  }

  stop(): void {
    this.stopped = true
  }

  private work(work: Promise<void>): void {
    const done = work
      .catch((error) => this.log.error({ err: error }, 'a fault while documents were put back'))
      .finally(() => this.working.delete(done))
    this.working.add(done)
  }

  private async judge(room: Room, found: Rewound): Promise<void> {
    const { changes } = this
    // Twice: the first answer may be to a question of before. And whoever asks meanwhile may be the one who is told.
    const isAnswered = await this.insist(room, async () => {
      await this.line.look()
      await this.line.look()
      return true
    })
    if (!isAnswered) return this.rooms.close(room, 'storage_unavailable', message)
    const isSame = this.changes === changes
    if (isSame && found === 'nothing') return this.rooms.close(room, 'room_deleted', 'the document is gone')
    if (isSame && found === 'another log')
      return this.rooms.close(room, 'storage_unavailable', 'the document was restored: come back')
    await this.comeBack(room)
  }

  /** A replica has taken the place of its primary, perhaps without the last commits. */
  private async anotherDatabase(): Promise<void> {
    this.changes++
    const rooms = [...this.rooms.open]
    this.log.error(
      { rooms: rooms.length },
      'the database is another one than before: its rooms are compared and opened anew',
    )
    // What is being read may come from the one before.
    for (const opening of this.rooms.opening)
      this.work(
        opening.then(
          (room) => this.comeBack(room),
          () => {},
        ),
      )
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
    const outcome = await this.insist(room, () => putBack(this.sql, room))
    if (outcome === 'another log')
      this.log.error({ room: room.id }, 'what the database had lost of a document does not fit what it has')
    else if (outcome)
      this.log.warn({ room: room.id, entries: outcome }, 'what the database had lost of a document was put back')
    this.rooms.close(room, 'storage_unavailable', message)
  }

  /**
   * Repeats a question to the database until it is answered: while one takes another's place, connections end and
   * statements are refused.
   *
   * @returns undefined when it is given up
   */
  private async insist<T>(room: Room, ask: () => Promise<T>): Promise<T | undefined> {
    let refusedSince: number | undefined
    for (let pauseMs = shortestPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      try {
        return await inTime(ask(), answerMs)
      } catch (error) {
        if (pauseMs === shortestPauseMs)
          this.log.warn({ err: error, room: room.id }, 'the database cannot be asked about a document; trying again')
        if (mayPass(error)) refusedSince = undefined
        else refusedSince ??= performance.now()
        const isRefused = refusedSince !== undefined && performance.now() - refusedSince > this.refusedForMs
        if (isRefused || this.stopped) {
          this.log.error(
            { err: error, room: room.id },
            'what the database may have lost of a document was not put back',
          )
          return undefined
        }
      }
      await Bun.sleep(pauseMs)
    }
  }
}

/**
 * Whether an error says that the database is away or busy, and nothing about what it was asked. SQLSTATE: a connection
 * that ended, and whatever a pooler says (08), a standby that takes no writes yet (25006), a transaction that collided
 * (40), a full disk or no more connections (53), a lock (55P03), a statement that took too long, a database that starts or
 * stops (57), a disk that fails (58).
 */
function mayPass(error: unknown): boolean {
  if (error instanceof NoAnswer) return true
  const { errno, code } = error as { errno?: unknown; code?: unknown }
  if (typeof errno === 'string') return /^(08|40|53|57|58|25006|55P03)/.test(errno)
  return typeof code === 'string' && /^(ERR_POSTGRES_CONNECTION|ECONN|EPIPE|ENOENT|ETIMEDOUT)/.test(code)
}
