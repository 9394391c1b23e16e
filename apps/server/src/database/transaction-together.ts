import type { Ctx } from '../kernel/ctx.ts'
import { UsherError } from '../kernel/errors.ts'
import type { Database } from './database.ts'
import { type Tx, transaction } from './transaction.ts'

type Options = {
  /** Nothing is written, so that what one of them throws is no matter of the others. */
  reads?: boolean
  /** What is written to first, e.g. a user's id: in the order of these, so that no two wait for each other. */
  locks?: string
  /** Milliseconds for which the first of them waits for others: for who has to wait longer for something else anyway. */
  patience?: number
}
type Job = Options & { ctx: Ctx; work: (tx: Tx) => Promise<unknown>; done: (result: never) => void; fail: Fail }
type Fail = (error: unknown) => void

/** A row that one of them has to wait for holds up the others, so they are few. */
const maxTogether = 16

/** What came in this moment and has not begun, by instance, whether it writes and how long it can wait. */
const gathering = new WeakMap<Database, Map<string, Job[]>>()

/**
 * As `transaction`, in one with those of other callers that come in the same moment: on one connection, with one commit,
 * and with what they write at the end in one statement. Nobody waits for more to come, unless they say that they can.
 * Each has its own actor and request. If one fails, all are undone and each is done again in a transaction of its own:
 * until it is committed, `work` must do nothing beyond the database. Everything in it finds rows by their keys.
 */
export function transactionTogether<T>(ctx: Ctx, work: (tx: Tx) => Promise<T>, options: Options = {}): Promise<T> {
  return new Promise((done, fail) => {
    const kinds = gathering.get(ctx.database) ?? new Map<string, Job[]>()
    gathering.set(ctx.database, kinds)
    const kind = `${ctx.instance.id} ${options.reads ?? false} ${options.patience ?? 0}`
    const waiting = kinds.get(kind)
    const job = { ...options, ctx, work, done, fail }
    if (waiting) {
      waiting.push(job)
      return
    }
    kinds.set(kind, [job])
    const begin = () => {
      const jobs = kinds.get(kind) ?? []
      kinds.delete(kind)
      while (jobs.length > 0) void runTogether(jobs.splice(0, maxTogether))
    }
    if (options.patience) setTimeout(begin, options.patience)
    else setImmediate(begin)
  })
}

async function runTogether(jobs: Job[]): Promise<void> {
  const [first] = jobs
  if (!first || jobs.length === 1) return first && runAlone(first)
  jobs.sort(({ locks: a = '' }, { locks: b = '' }) => (a < b ? -1 : a > b ? 1 : 0))
  let outcomes: PromiseSettledResult<unknown>[] = []
  let committing = false
  try {
    await transaction(
      first.ctx,
      async (tx) => {
        // All of them end before the transaction does, whatever becomes of one.
        outcomes = await Promise.allSettled(jobs.map(({ ctx, work }) => work(joined(tx, ctx))))
        const failed = outcomes.find((o) => o.status === 'rejected' && !(first.reads && isAnswer(o.reason)))
        if (failed) throw (failed as PromiseRejectedResult).reason
      },
      {
        byKeys: true,
        onCommit: () => {
          committing = true
        },
      },
    )
  } catch (error) {
    // What may be committed is not done again.
    if (committing) for (const { fail } of jobs) fail(error)
    else for (const job of jobs) void runAlone(job)
    return
  }
  for (const [i, job] of jobs.entries()) {
    const outcome = outcomes[i]
    if (outcome?.status === 'fulfilled') job.done(outcome.value as never)
    else job.fail(outcome?.reason)
  }
}

/** A refusal in our words: the database has not failed, and the transaction goes on. */
const isAnswer = (error: unknown) => error instanceof UsherError

/** A caller's part of a transaction that others share. */
const joined = (tx: Tx, ctx: Ctx): Tx => ({
  ...ctx,
  get db() {
    return tx.db
  },
  connection: tx.connection,
  later: tx.later,
  beforeCommit: tx.beforeCommit,
  afterCommit: tx.afterCommit,
})

const runAlone = ({ ctx, work, done, fail }: Job): Promise<void> =>
  transaction(ctx, work, { byKeys: true }).then((result) => done(result as never), fail)
