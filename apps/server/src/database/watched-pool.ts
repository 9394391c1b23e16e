import type { SQL } from 'bun'
import { randomBase62 } from '../kernel/ids.ts'
import { inTime } from '../kernel/in-time.ts'

/** How long it may take to look at a pool from outside. */
const lookMs = 10_000

type Pool = {
  /** Connects. @param name of the application, by which the database tells this pool's connections from others */
  open: (name: string) => SQL
  /** A connection that no pool has, for one question. */
  lookIn: () => SQL
  replaced: () => void
  /** How often the pool is asked whether it is still connected, and how long it may take to say so, in milliseconds. */
  paceMs?: number
}

/**
 * A pool that is replaced when all of its connections lead nowhere. A host that loses its power ends none of them: what
 * waits for an answer there waits until the kernel gives up, which takes a quarter of an hour. Whoever was waiting fails
 * then as if the connection had been cut, and whoever comes is answered by another one.
 *
 * A database that is slow, or that nobody reaches, replaces nothing: it has to answer elsewhere that nothing of this pool
 * has reached it for a while.
 */
export function watchedPool({ open, lookIn, replaced, paceMs = 5000 }: Pool): SQL {
  let current = { name: '', sql: undefined as unknown as SQL }
  const connect = () => {
    const name = `usher ${randomBase62(8)}`
    current = { name, sql: open(name) }
  }
  connect()
  let closed = false
  /** Whether names arrive: something between here and the database may give connections names of its own. */
  let isKnown = false

  const ask = async () => {
    const asked = current
    let answered = false
    // A refusal is an answer as well.
    const answer = asked.sql
      .unsafe("select current_setting('application_name') as name")
      .then(([row]) => {
        isKnown = row.name === asked.name
      })
      .catch(() => {})
      .finally(() => {
        answered = true
      })
    if (await isInTime(answer, paceMs)) return
    for (let pauseMs = paceMs / 5; !closed && !answered && isKnown; pauseMs = Math.min(2 * pauseMs, 2 * paceMs)) {
      const reached = await look(lookIn, (sql) => hasReached(sql, asked.name, paceMs))
      // Undefined says nothing: the database is not there, and the pool will tell when it is.
      if (reached === false && !answered && !closed) return replace(asked)
      // A database that was reached is busy, and not to be asked for more connections all the time.
      if (await isInTime(answer, reached ? pauseMs : paceMs / 5)) return
    }
  }
  const replace = async (old: typeof current) => {
    connect()
    replaced()
    for (let attempt = 0; attempt < 3; attempt += 1) if (await look(lookIn, (sql) => end(sql, old.name))) break
    void old.sql.close({ timeout: 0 }).catch(() => {})
  }
  let timer: ReturnType<typeof setTimeout> | undefined
  const askIn = (ms: number) => {
    if (closed) return
    timer = setTimeout(async () => {
      await ask().catch(() => {})
      askIn(paceMs)
    }, ms)
    timer.unref()
  }
  // At once: a pool has to be known before it can be missed.
  askIn(0)

  // Without a limit it would wait for answers that never come.
  const close: SQL['close'] = (options = { timeout: 5 }) => {
    closed = true
    clearTimeout(timer)
    return current.sql.close(options)
  }
  return new Proxy((() => {}) as unknown as SQL, {
    apply: (_, __, args) => Reflect.apply(current.sql, undefined, args),
    get: (_, key) => {
      if (key === 'close') return close
      const value = Reflect.get(current.sql, key)
      return typeof value === 'function' ? value.bind(current.sql) : value
    },
    set: (_, key, value) => Reflect.set(current.sql, key, value),
  })
}

const isInTime = (answer: Promise<unknown>, ms: number) =>
  inTime(answer, ms).then(
    () => true,
    () => false,
  )

/** Asks the database past the pool. Undefined: it is not there. */
async function look<Answer>(open: () => SQL, question: (sql: SQL) => Promise<Answer>): Promise<Answer | undefined> {
  const sql = open()
  try {
    return await inTime(question(sql), lookMs)
  } catch {
    return undefined
  } finally {
    void sql.close({ timeout: 0 }).catch(() => {})
  }
}

/** Whether something of a pool is under way at the database, or came there a short while ago. */
async function hasReached(sql: SQL, name: string, withinMs: number): Promise<boolean> {
  // What may not be seen (null) counts as under way, and so does an answer that is being taken, for a minute.
  const [row] = await sql`
    select exists (
      select from pg_stat_activity
      where application_name = ${name}
        and ((state is distinct from 'idle'
            and (wait_event is distinct from 'ClientWrite' or state_change > clock_timestamp() - interval '1 minute'))
          or state_change > clock_timestamp() - make_interval(secs => ${withinMs / 1000}))) as reached`
  return row?.reached !== false
}

/** Ends what the database still holds of a pool: nothing that was sent may be done later, nor a lock be held. */
async function end(sql: SQL, name: string): Promise<boolean> {
  await sql`select pg_terminate_backend(pid, 1000) from pg_stat_activity where application_name = ${name}`
  return true
}
