import { sql } from 'drizzle-orm'
import type { Ctx } from '../kernel/ctx.ts'
import type { Db } from './database.ts'

/** A fact to announce: see `domains/events`. */
export type NewEvent = { type: string; subject: string; data: Record<string, unknown> }

/** A Ctx inside a transaction of its instance: the only place where rows can be reached. */
export type Tx = Ctx & {
  db: Db
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
 */
export async function transaction<T>(
  ctx: Ctx | Tx,
  work: (tx: Tx) => Promise<T>,
  options: { snapshot?: boolean } = {},
): Promise<T> {
  if ('db' in ctx) return work(ctx)
  const last: (() => Promise<void>)[] = []
  const tasks: (() => void | Promise<void>)[] = []
  const result = await ctx.database.tenant.transaction(
    async (db) => {
      await db.execute(sql`select set_config('usher.instance_id', ${ctx.instance.id}, true)`)
      const tx: Tx = {
        ...ctx,
        db,
        beforeCommit: (task) => last.push(task),
        afterCommit: (task) => tasks.push(task),
      }
      const done = await work(tx)
      for (const task of last) await task()
      return done
    },
    options.snapshot ? { isolationLevel: 'repeatable read', accessMode: 'read only' } : undefined,
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
