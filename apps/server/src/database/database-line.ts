import type { SQL } from 'bun'
import { inTime, NoAnswer } from '../kernel/in-time.ts'

/**
 * Which history the database is on: another one after a replica was promoted or a backup restored, the same one after a
 * crash and a restart.
 *
 * @returns undefined when it cannot say, such as a standby or a service that hides it
 */
export async function readDatabaseLine(sql: SQL): Promise<string | undefined> {
  try {
    const [row] = await sql`
      select system_identifier::text || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as line
      from pg_control_system()`
    return row?.line
  } catch (error) {
    // An answer, and not the lack of one: what it does not say now it may say later.
    if (typeof (error as { errno?: unknown }).errno === 'string') return undefined
    throw error
  }
}

/** How long it may take to say it: a host that vanishes without a word answers nothing, and refuses nothing either. */
const answerMs = 10_000

/** Notices that the database has become another one, which may lack what this one had committed. */
export class DatabaseLine {
  private last: string | undefined
  private looking: Promise<boolean> | undefined
  private readonly sql: SQL
  private readonly changed: () => void

  /** @param changed called once for each change */
  constructor(sql: SQL, changed: () => void) {
    this.sql = sql
    this.changed = changed
  }

  /**
   * @returns whether it is another one than at the last look
   * @throws when it does not answer, or does not say now what it said before
   */
  look(): Promise<boolean> {
    this.looking ??= this.compare().finally(() => {
      this.looking = undefined
    })
    return this.looking
  }

  private async compare(): Promise<boolean> {
    const line = await inTime(readDatabaseLine(this.sql), answerMs)
    if (line === undefined && this.last !== undefined) throw new NoAnswer('the database does not say which one it is')
    const isOther = this.last !== undefined && line !== this.last
    this.last = line
    if (isOther) this.changed()
    return isOther
  }
}
