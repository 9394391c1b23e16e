import type { SQL as Driver } from 'bun'
import { getTableColumns, type InferInsertModel, type InferSelectModel, sql } from 'drizzle-orm'
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

/** Statements that write rows differ by the columns that they name, and are few. */
const writers = new WeakMap<PgTable, Map<string, Plan<unknown>>>()

function writerOf(table: PgTable, key: string, build: Build<unknown>): Plan<unknown> {
  const known = writers.get(table) ?? new Map<string, Plan<unknown>>()
  if (known.size === 0) writers.set(table, known)
  const plan = known.get(key) ?? build(planner).prepare('')
  known.set(key, plan)
  return plan
}

type Row<T extends PgTable> = InferInsertModel<T>

/**
 * Inserts rows by a prepared statement, and hands them back as the database has them. There is one plan for each number
 * of rows: this is for a few.
 */
export async function insertRows<T extends PgTable>(
  holder: Holder,
  table: T,
  rows: Row<T>[],
): Promise<InferSelectModel<T>[]> {
  const { values, cells, key } = cellsOf(table, rows)
  const build: Build<unknown> = (db) =>
    db
      .insert(table)
      .values(cells as Row<T>[])
      .returning()
  return (await run(writerOf(table, `insert ${key}`, build), holder, values)) as InferSelectModel<T>[]
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

/** What writes a column, and what the placeholder in it stands for. Null needs no encoding, and bears none. */
function cellsOf<T extends PgTable>(table: T, rows: Row<T>[]) {
  const columns = getTableColumns(table) as Record<string, PgColumn>
  const values: Record<string, unknown> = {}
  const cells: Record<string, unknown>[] = []
  let key = ''
  for (const [i, row] of rows.entries()) {
    const cell: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(row)) {
      const column = columns[name]
      if (value === undefined || !column) continue
      const place = `${name}_${i}`
      const isJson = column.getSQLType() === 'jsonb'
      cell[name] = isJson ? sql`${sql.placeholder(place)}::text::jsonb` : sql`${sql.placeholder(place)}`
      values[place] = encode(column, value)
      key += `${name},`
    }
    key += ';'
    cells.push(cell)
  }
  return { values, cells, key }
}

function encode(column: PgColumn, value: unknown): unknown {
  if (value === null) return null
  return column.getSQLType() === 'jsonb' ? JSON.stringify(value) : column.mapToDriverValue(value)
}

/** The text of an array of strings (PostgreSQL manual, 8.15.2), for `= any(…::text[])`. */
export function textArray(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}
