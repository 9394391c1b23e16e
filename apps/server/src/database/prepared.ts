import type { SQL as Driver } from 'bun'
import { getTableColumns, type InferInsertModel, type InferSelectModel, type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sql'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'

/** What a prepared query runs on: a transaction, or the system's own driver. */
export type Connection = Pick<Driver, 'unsafe'>
type Holder = { connection: Connection }

/**
 * Where the plan that runs at this moment sends its statement. Drizzle hands a statement to its client within the call
 * of `execute`, before anything is awaited, so no other plan comes between.
 */
let turn: Connection | undefined
const standIn: Connection = {
  unsafe: (query, values) => {
    if (!turn) throw new Error('a prepared query was run outside of its turn')
    return turn.unsafe(query, values)
  },
}
const planner = drizzle({ client: standIn as Driver })

type Plan<Result> = { execute: (values?: Record<string, unknown>) => PromiseLike<Result> }
type Build<Result> = (db: typeof planner) => { prepare: (name: string) => Plan<Result> }

/**
 * A query whose SQL is written once: building it costs several times what running it does. Values come in as
 * `sql.placeholder(name)`. Several that do not need each other's answers may be started together; they then travel
 * together.
 */
export function prepared<Result>(
  build: Build<Result>,
): (holder: Holder, values?: Record<string, unknown>) => Promise<Result> {
  let plan: Plan<Result> | undefined
  return (holder, values = {}) => {
    plan ??= build(planner).prepare('')
    return run(plan, holder, values)
  }
}

function run<Result>(plan: Plan<Result>, { connection }: Holder, values: Record<string, unknown>): Promise<Result> {
  turn = connection
  try {
    return Promise.resolve(plan.execute(values))
  } finally {
    turn = undefined
  }
}

/** Where a value comes into a prepared query, encoded as its column's values are; it is not null. */
export const place = (column: PgColumn, name: string): SQL => sql`${sql.param(sql.placeholder(name), column)}`

type Row<T extends PgTable> = InferInsertModel<T>
type Encode = (value: unknown) => unknown

/** How a table's rows are written: statements differ by the columns that they name, and are few. */
class Writer {
  private readonly plans = new Map<string, Plan<unknown>>()
  private readonly encoders = new Map<string, Encode>()
  private readonly table: PgTable

  constructor(table: PgTable) {
    this.table = table
    for (const [name, column] of Object.entries(getTableColumns(table) as Record<string, PgColumn>))
      this.encoders.set(name, isJson(column) ? JSON.stringify : (value) => column.mapToDriverValue(value))
  }

  run(holder: Holder, rows: readonly object[], returning: boolean): Promise<unknown> {
    const values: Record<string, unknown> = {}
    let key = ''
    let place = 0
    for (const row of rows) {
      for (const name in row) {
        const value = row[name as keyof typeof row] as unknown
        const encode = value === undefined ? undefined : this.encoders.get(name)
        if (!encode) continue
        key += `${name},`
        values[`p${place}`] = value === null ? null : encode(value)
        place += 1
      }
      key += ';'
    }
    if (returning) key += 'returning'
    let plan = this.plans.get(key)
    if (!plan) {
      plan = this.build(key, returning)
      this.plans.set(key, plan)
    }
    return run(plan, holder, values)
  }

  private build(key: string, returning: boolean): Plan<unknown> {
    const columns = getTableColumns(this.table) as Record<string, PgColumn>
    let place = 0
    const rows = key
      .split(';')
      .slice(0, -1)
      .map((names) => {
        const row: Record<string, SQL> = {}
        for (const name of names.split(',').slice(0, -1)) {
          const value = sql.placeholder(`p${place}`)
          place += 1
          row[name] = isJson(columns[name] as PgColumn) ? sql`${value}::text::jsonb` : sql`${value}`
        }
        return row
      })
    const insert = planner.insert(this.table).values(rows as Row<PgTable>[])
    return (returning ? insert.returning() : insert).prepare('') as Plan<unknown>
  }
}

const isJson = (column: PgColumn) => column.getSQLType() === 'jsonb'

const writers = new WeakMap<PgTable, Writer>()

function writerOf(table: PgTable): Writer {
  const known = writers.get(table)
  if (known) return known
  const writer = new Writer(table)
  writers.set(table, writer)
  return writer
}

/**
 * Inserts rows by a prepared statement, and hands them back as the database has them. There is one plan for each number
 * of rows: this is for a few.
 */
export function insertRows<T extends PgTable>(
  holder: Holder,
  table: T,
  rows: Row<T>[],
): Promise<InferSelectModel<T>[]> {
  return writerOf(table).run(holder, rows, true) as Promise<InferSelectModel<T>[]>
}

/** As {@link insertRows}, for one row. */
export async function insertRow<T extends PgTable>(
  holder: Holder,
  table: T,
  row: Row<T>,
): Promise<InferSelectModel<T>> {
  const [made] = await insertRows(holder, table, [row])
  if (!made) throw new Error('a row was not inserted')
  return made
}

/** As {@link insertRow}, for a row of which the database adds nothing that is of interest. */
export async function writeRow<T extends PgTable>(holder: Holder, table: T, row: Row<T>): Promise<void> {
  await writerOf(table).run(holder, [row], false)
}

/** The text of an array of strings (PostgreSQL manual, 8.15.2), for `= any(…::text[])`. */
export function textArray(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}
