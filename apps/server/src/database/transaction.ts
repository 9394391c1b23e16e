import type { SQL } from 'bun'
import { drizzle } from 'drizzle-orm/bun-sql'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { Ctx } from '../kernel/ctx.ts'
import type { Db } from './database.ts'
import { type Connection, type Part, type Row, writeTogether } from './prepared.ts'

/** A fact to announce: see `domains/events`. */
export type NewEvent = { type: string; subject: string; data: Record<string, unknown> }

/** A Ctx inside a transaction of its instance: the only place where rows can be reached. */
export type Tx = Ctx & {
  readonly db: Db
  /** The transaction's connection, for prepared queries. */
  connection: Connection
  /** What {@link writeLater} was given and nothing has written yet. */
  later: Part[]
  /** Runs last in the transaction, once all that `work` does has succeeded; a failure undoes everything. */
  beforeCommit: (task: () => Promise<void>) => void
  /** Runs after the commit; not at all after a rollback. A failure here cannot undo the commit, so it only logs. */
  afterCommit: (task: () => void | Promise<void>) => void
}

/**
 * Runs `work` in one transaction in which the database shows and accepts rows of `ctx.instance` only. Called with a
 * Tx it joins that transaction, so that verbs can call verbs.
 *
 * @param options.snapshot all of `work` reads what was committed when it began, and writes nothing
 * @param options.byKeys all of `work` finds rows by their keys, so that one plan is right for whatever values come:
 *   PostgreSQL keeps to it, where it would often plan anew for longer than the statement then takes
 * @param options.onCommit called when nothing is left to do but to commit
 */
export async function transaction<T>(
  ctx: Ctx | Tx,
  work: (tx: Tx) => Promise<T>,
  options: { snapshot?: boolean; byKeys?: boolean; onCommit?: () => void } = {},
): Promise<T> {
  if ('db' in ctx) return work(ctx)
  const last: (() => Promise<void>)[] = []
  const tasks: (() => void | Promise<void>)[] = []
  const result = await ctx.database.tenant.begin(
    options.snapshot ? 'isolation level repeatable read read only' : '',
    async (connection) => {
      // Sent together with the first query, and before it. Should it fail, so does everything after it.
      const scope = (
        options.byKeys
          ? connection`select set_config('usher.instance_id', ${ctx.instance.id}, true), set_config('plan_cache_mode', 'force_generic_plan', true)`
          : connection`select set_config('usher.instance_id', ${ctx.instance.id}, true)`
      ).execute()
      scope.catch(() => {})
      let db: Db | undefined
      const tx: Tx = {
        ...ctx,
        get db() {
          db ??= drizzle({ client: connection as unknown as SQL })
          return db
        },
        connection: connection as unknown as Connection,
        later: [],
        beforeCommit: (task) => last.push(task),
        afterCommit: (task) => tasks.push(task),
      }
      const done = await work(tx)
      for (const task of last) await task()
      if (tx.later.length > 0) await writeTogether(tx, takeLater(tx))
      await scope
      options.onCommit?.()
      return done
    },
  )
  for (const task of tasks) {
    try {
      await task()
    } catch (error) {
      ctx.log.error({ err: error }, 'a task after the commit failed')
    }
  }
  return result
}

/**
 * Writes a row right before the commit, in one statement with the transaction's other such rows and its facts. For rows
 * that nothing in the transaction reads again, and that cannot be refused in a way that somebody has to be told of.
 */
export function writeLater<T extends PgTable>(tx: Tx, table: T, row: Row<T>): void {
  tx.later.push({ table, rows: [row] })
}

/** Hands over the rows of {@link writeLater}, to whoever writes them now. */
export const takeLater = (tx: Tx): Part[] => tx.later.splice(0)
