import type { SQL as Driver } from 'bun'
import {
  fillPlaceholders,
  getTableColumns,
  getTableName,
  type InferInsertModel,
  type InferSelectModel,
  type SQL,
  sql,
} from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/bun-sql'
import { type PgColumn, PgDialect, type PgTable } from 'drizzle-orm/pg-core'

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

export type Row<T extends PgTable> = InferInsertModel<T>
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
    let key = this.collect(rows, values, 0)
    if (returning) key += 'returning'
    let plan = this.plans.get(key)
    if (!plan) {
      const insert = this.insert(key, 0)
      plan = (returning ? insert.returning() : insert).prepare('') as Plan<unknown>
      this.plans.set(key, plan)
    }
    return run(plan, holder, values)
  }

  /** Adds the rows' values under their places, counted from `first`. @returns the columns that they name, row by row */
  collect(rows: readonly object[], values: Record<string, unknown>, first: number): string {
    let key = ''
    let place = first
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
    return key
  }

  /** The insert of rows that name these columns, with values that {@link collect} placed. */
  insert(key: string, first: number) {
    const columns = getTableColumns(this.table) as Record<string, PgColumn>
    let place = first
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
    return planner.insert(this.table).values(rows as Row<PgTable>[])
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

/** A row as the database will have it: with null, or the column's constant default, where nothing is said. */
export function filledRow<T extends PgTable>(table: T, row: Row<T>): InferSelectModel<T> {
  const said = row as Record<string, unknown>
  const columns = Object.entries(getTableColumns(table) as Record<string, PgColumn>)
  return Object.fromEntries(
    columns.map(([name, column]) => [name, said[name] ?? column.default ?? null]),
  ) as InferSelectModel<T>
}

/** Rows of one table, for {@link writeTogether}. */
export type Part = { table: PgTable; rows: readonly object[] }

const statements = new Map<string, { text: string; params: unknown[] }>()
const dialect = new PgDialect()

/**
 * Inserts rows into several tables by one prepared statement, which costs a fraction of what one for each table does.
 * They may refer to each other in any order: PostgreSQL compares keys when all of a statement is written.
 *
 * @param returning of the last part's table
 * @returns that column's value in each of the last part's rows
 */
export async function writeTogether(
  { connection }: Holder,
  parts: readonly Part[],
  returning?: PgColumn,
): Promise<unknown[]> {
  const values: Record<string, unknown> = {}
  let key = returning?.name ?? ''
  const inserts: { writer: Writer; key: string; first: number }[] = []
  for (const { table, rows } of parts) {
    const writer = writerOf(table)
    const first = Object.keys(values).length
    const columns = writer.collect(rows, values, first)
    inserts.push({ writer, key: columns, first })
    key += `|${getTableName(table)}:${columns}`
  }
  let statement = statements.get(key)
  if (!statement) {
    const { sql: text, params } = dialect.sqlToQuery(together(inserts, returning))
    statement = { text, params }
    statements.set(key, statement)
  }
  const rows = await connection.unsafe(statement.text, fillPlaceholders(statement.params, values))
  return returning ? rows.map((row: Record<string, unknown>) => returning.mapFromDriverValue(row[returning.name])) : []
}

function together(inserts: { writer: Writer; key: string; first: number }[], returning: PgColumn | undefined): SQL {
  const built = inserts.map(({ writer, key, first }) => writer.insert(key, first))
  const last = built.pop()
  if (!last) throw new Error('nothing to write')
  const beside = built.map((insert, i) => sql`${sql.raw(`part_${i}`)} as (${insert.getSQL()})`)
  const main = (returning ? last.returning({ value: returning }) : last).getSQL()
  return beside.length > 0 ? sql`with ${sql.join(beside, sql`, `)} ${main}` : sql`${main}`
}

/** The text of an array of strings (PostgreSQL manual, 8.15.2), for `= any(…::text[])`. */
export function textArray(values: readonly string[]): string {
  return `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
}
