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
    const encoded = rows.map((row) => this.encode(row))
    const key = `${encoded.map(({ names }) => names).join(';')}${returning ? ' returning' : ''}`
    let plan = this.plans.get(key)
    if (!plan) {
      const insert = this.insert(encoded.map(({ names }) => listed(names)))
      plan = (returning ? insert.returning() : insert).prepare('') as Plan<unknown>
      this.plans.set(key, plan)
    }
    const values = encoded.flatMap((row) => row.values)
    return run(plan, holder, Object.fromEntries(values.map((value, place) => [`p${place}`, value])))
  }

  /** The columns that a row names, as {@link listed} reads them, and what the database is sent for them. */
  encode(row: object): { names: string; values: unknown[] } {
    let names = ''
    const values: unknown[] = []
    for (const name in row) {
      const value = row[name as keyof typeof row] as unknown
      const encode = value === undefined ? undefined : this.encoders.get(name)
      if (!encode) continue
      names += `${name} `
      values.push(value === null ? null : encode(value))
    }
    return { names, values }
  }

  private insert(rows: string[][]) {
    const columns = getTableColumns(this.table) as Record<string, PgColumn>
    let place = 0
    const places = rows.map((names) => {
      const row: Record<string, SQL> = {}
      for (const name of names) {
        const value = sql.placeholder(`p${place}`)
        place += 1
        row[name] = isJson(columns[name] as PgColumn) ? sql`${value}::text::jsonb` : sql`${value}`
      }
      return row
    })
    return planner.insert(this.table).values(places as Row<PgTable>[])
  }
}

const listed = (names: string) => names.trim().split(' ')

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

/** Rows of one table that name the same columns, encoded; their values lie from the place `first` on. */
type Group = { table: PgTable; names: string; rows: unknown[][]; first: number }

/** By the tables and columns that are written: what is sent, and which value each of its parameters is. */
const statements = new Map<string, { text: string; places: number[] }>()
const dialect = new PgDialect()

/**
 * Inserts rows into several tables by one prepared statement, which costs a fraction of what one for each table does.
 * They may refer to each other in any order: PostgreSQL compares keys when all of a statement is written. However many
 * rows of a table there are, it is the same statement: several are sent as one array for each column.
 *
 * @param returning of the last part's table, whose rows all name the same columns
 * @returns that column's value in each of the last part's rows
 */
export async function writeTogether(
  { connection }: Holder,
  parts: readonly Part[],
  returning?: PgColumn,
): Promise<unknown[]> {
  const groups = groupsOf(parts)
  const values: unknown[] = []
  let key = returning?.name ?? ''
  for (const group of groups) {
    const { table, names, rows } = group
    const [one = []] = rows
    group.first = values.length
    for (let at = 0; at < one.length; at += 1) values.push(rows.length === 1 ? one[at] : arrayOf(rows, at))
    key += `|${getTableName(table)}${rows.length === 1 ? '' : '*'}:${names}`
  }
  let statement = statements.get(key)
  if (!statement) {
    const { sql: text, params } = dialect.sqlToQuery(together(groups, returning))
    statement = { text, places: fillPlaceholders(params, placesOf(values)) as number[] }
    statements.set(key, statement)
  }
  const rows = await connection.unsafe(
    statement.text,
    statement.places.map((place) => values[place]),
  )
  return returning ? rows.map((row: Record<string, unknown>) => returning.mapFromDriverValue(row[returning.name])) : []
}

const placesOf = (values: unknown[]): Record<string, number> =>
  Object.fromEntries(values.map((_, place) => [`p${place}`, place]))

/** The last part's rows come last. */
function groupsOf(parts: readonly Part[]): Group[] {
  const groups: Group[] = []
  const last = parts.at(-1)?.table
  for (const { table, rows } of parts) {
    const writer = writerOf(table)
    for (const row of rows) {
      const { names, values } = writer.encode(row)
      // They are few, and rarely more than one of a table.
      const group = groups.find((g) => g.table === table && g.names === names)
      if (group) group.rows.push(values)
      else groups.push({ table, names, rows: [values], first: 0 })
    }
  }
  return [...groups.filter((g) => g.table !== last), ...groups.filter((g) => g.table === last)]
}

function together(groups: Group[], returning: PgColumn | undefined): SQL {
  const inserts = groups.map(insertGroup)
  const last = inserts.pop()
  if (!last) throw new Error('nothing to write')
  const main = returning ? sql`${last} returning ${sql.identifier(returning.name)}` : last
  if (inserts.length === 0) return main
  const beside = inserts.map((insert, i) => sql`${sql.raw(`part_${i}`)} as (${insert})`)
  return sql`with ${sql.join(beside, sql`, `)} ${main}`
}

function insertGroup({ table, names, rows, first }: Group): SQL {
  const all = getTableColumns(table) as Record<string, PgColumn>
  const columns = listed(names).map((name) => all[name] as PgColumn)
  const list = (parts: SQL[]) => sql.join(parts, sql`, `)
  const named = columns.map(({ name }) => sql`${sql.identifier(name)}`)
  const values = columns.map((_, i) => sql`${sql.placeholder(`p${first + i}`)}`)
  const into = sql`insert into ${table} (${list(named)})`
  if (rows.length === 1)
    return sql`${into} values (${list(values.map((v, i) => (isJson(columns[i] as PgColumn) ? sql`${v}::text::jsonb` : v)))})`
  const arrays = values.map((v, i) => sql`${v}::text::${sql.raw((columns[i] as PgColumn).getSQLType())}[]`)
  return sql`${into} select * from unnest(${list(arrays)})`
}

/** One column of several rows, as the text of an array. */
function arrayOf(rows: readonly unknown[][], at: number): string {
  let text = ''
  for (const row of rows) text += `${text && ','}${row[at] === null ? 'null' : quoted(String(row[at]))}`
  return `{${text}}`
}

const quoted = (text: string) =>
  `"${text.includes('"') || text.includes('\\') ? text.replace(/["\\]/g, '\\$&') : text}"`

/** The text of an array of strings (PostgreSQL manual, 8.15.2), for `= any(…::text[])`. */
export function textArray(values: readonly string[]): string {
  return `{${values.map(quoted).join(',')}}`
}
