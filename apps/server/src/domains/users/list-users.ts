import { and, asc, desc, eq, gt, gte, inArray, isNull, lt, notInArray, or, type SQL, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { findMatches, isAnyOf, searchCondition, type UserSearch } from './find-matches.ts'
import { findUsers, type UserRecord } from './queries.ts'
import { emailAddresses, externalAccounts, phoneNumbers, users } from './tables.ts'

/** Columns by which users can be ordered; nothing of what a caller writes reaches SQL. */
const orderable = {
  created_at: users.createdAt,
  updated_at: users.updatedAt,
  last_sign_in_at: users.lastSignInAt,
  last_active_at: users.lastActiveAt,
  first_name: users.firstName,
  last_name: users.lastName,
  username: users.username,
  email_address: sql`(select e.email_address from ${emailAddresses} e where e.id = ${users.primaryEmailAddressId})`,
} as const

export type UserFilter = UserSearch & {
  /** A value that begins with `-` excludes, `+` or nothing includes. */
  emailAddress?: string[]
  phoneNumber?: string[]
  userId?: string[]
  externalId?: string[]
  username?: string[]
  organizationId?: string[]
  /** Linked to an account at this provider (`google`), and to one of these there. */
  provider?: string
  providerUserId?: string[]
  banned?: boolean
  createdAtBefore?: Date
  createdAtAfter?: Date
  lastSignInAtBefore?: Date
  lastSignInAtAfter?: Date
  lastActiveAtBefore?: Date
  lastActiveAtAfter?: Date
  lastActiveAtSince?: Date
}

export type ListUsersInput = UserFilter & {
  limit: number
  offset: number
  orderBy?: string
  /** Id of the user after whom the page begins; newest first is the only order then. */
  startingAfter?: string
}

/** @throws {UsherError} `form_param_value_invalid` for an unknown order or cursor */
export async function listUsers(ctx: Ctx | Tx, input: ListUsersInput): Promise<UserRecord[]> {
  const { orderBy = '-created_at', startingAfter } = input
  if (startingAfter && orderBy !== '-created_at')
    throw new UsherError('form_param_value_invalid', 'starting_after goes with the order -created_at.', {
      param: 'order_by',
    })
  const order = orderOf(orderBy)
  return transaction(ctx, async (tx) => {
    const where = and(conditionOf(input), startingAfter ? await after(tx, startingAfter) : undefined)
    return findUsers(tx, await findPage(tx, { where, order, input }))
  })
}

/** As many users as are looked at in the order of a list, before the index is asked and after it found many. */
const walked = { first: 1_000, most: 5_000 }

/** Ids of one page. */
async function findPage(
  tx: Tx,
  { where, order, input }: { where: SQL | undefined; order: SQL[]; input: ListUsersInput },
): Promise<string[]> {
  const { limit, offset } = input
  const page = async (condition: SQL | undefined) => {
    const rows = await tx.db
      .select({ id: users.id })
      .from(users)
      .where(and(where, condition))
      .orderBy(...order)
      .limit(limit)
      .offset(offset)
    return rows.map((row) => row.id)
  }
  const search = searchCondition(input)
  if (!search) return page(undefined)
  // The planner, who knows nothing about the frequency of words, is not asked: a subquery in the selection it cannot
  // turn around.
  const walk = async (depth: number) => {
    const rows = await tx.db.execute<{ id: string }>(sql`
      select id from (
        select ${users.id} as id from ${users} ${where ? sql`where ${where}` : sql``}
        order by ${sql.join(order, sql`, `)} limit ${depth}) first
      where (select ${search} from searchable_users s where s.user_id = first.id) limit ${limit} offset ${offset}`)
    return rows.length === limit ? rows.map((row) => row.id) : undefined
  }
  const soon = isShared(input) ? await walk(walked.first) : undefined
  if (soon) return soon
  const found = await findMatches(tx, input)
  if (found !== 'many') return found.length === 0 ? [] : page(isAnyOf(users.id, found))
  // Among the first in order there are soon enough for a page, unless they are far behind, or the page is.
  return (
    (await walk(walked.most)) ??
    page(sql`${users.id} = any(array(select user_id from searchable_users where ${search}))`)
  )
}

/**
 * Whether a search may be for what many have in common, the domain of their addresses: it has trigrams that nearly all
 * have, and so the index takes its time.
 */
const isShared = ({ query = '', emailAddressQuery = '' }: UserSearch) => /[.@]/.test(query + emailAddressQuery)

export async function countUsers(ctx: Ctx | Tx, filter: UserFilter): Promise<number> {
  return transaction(ctx, async (tx) => {
    const where = conditionOf(filter)
    const search = searchCondition(filter)
    // There is a row for each user, and fewer bytes to read.
    if (!where) return countRows(tx, search ? sql`searchable_users where ${search}` : sql`user_search`)
    if (!search) return countRows(tx, sql`${users} where ${where}`)
    const found = await findMatches(tx, filter)
    const condition =
      found === 'many'
        ? sql`${users.id} in (select user_id from searchable_users where ${search})`
        : isAnyOf(users.id, found)
    return countRows(tx, sql`${users} where ${and(where, condition)}`)
  })
}

async function countRows(tx: Tx, source: SQL): Promise<number> {
  const [row] = await tx.db.execute<{ n: number }>(sql`select count(*)::int as n from ${source}`)
  return row?.n ?? 0
}

async function after(tx: Tx, id: string): Promise<SQL> {
  const [last] = await tx.db.select({ createdAt: users.createdAt }).from(users).where(eq(users.id, id))
  if (!last) throw new UsherError('form_param_value_invalid', 'There is no such user.', { param: 'starting_after' })
  return sql`(${users.createdAt}, ${users.id}) < (${last.createdAt.toISOString()}::timestamptz, ${id})`
}

/** Descending lists end with those who have no value, ascending ones begin with them: as the indexes are. */
function orderOf(orderBy: string): SQL[] {
  const [, sign, name = ''] = orderBy.match(/^([+-]?)(\w+)$/) ?? []
  const column = Object.hasOwn(orderable, name) ? orderable[name as keyof typeof orderable] : undefined
  if (!column)
    throw new UsherError('form_param_value_invalid', `Users cannot be ordered by that.`, { param: 'order_by' })
  return sign === '-'
    ? [sql`${column} desc nulls last`, desc(users.id)]
    : [sql`${column} asc nulls first`, asc(users.id)]
}

/** What a row of `users` has to be like: everything but the search. */
export function conditionOf(filter: UserFilter): SQL | undefined {
  const withAddress = (condition: SQL | undefined) =>
    sql`exists (select 1 from ${emailAddresses} where ${emailAddresses.userId} = ${users.id} and ${condition})`
  const withNumber = (condition: SQL | undefined) =>
    sql`exists (select 1 from ${phoneNumbers} where ${phoneNumbers.userId} = ${users.id} and ${condition})`
  return and(
    either(filter.userId, (ids, not) => (not ? notInArray(users.id, ids) : inArray(users.id, ids))),
    either(filter.externalId, (ids, not) =>
      not ? or(isNull(users.externalId), notInArray(users.externalId, ids)) : inArray(users.externalId, ids),
    ),
    either(filter.username, (names, not) =>
      not ? or(isNull(users.username), notInArray(users.username, names)) : inArray(users.username, names),
    ),
    either(filter.emailAddress, (addresses, not) => {
      const has = withAddress(
        inArray(
          emailAddresses.emailAddress,
          addresses.map((a) => a.toLowerCase()),
        ),
      )
      return not ? sql`not ${has}` : has
    }),
    either(filter.phoneNumber, (numbers, not) => {
      // The sign of a number is part of it, so that here `+` never means "include".
      const has = withNumber(
        inArray(
          phoneNumbers.phoneNumber,
          numbers.map((n) => `+${n.replace(/\D/g, '')}`),
        ),
      )
      return not ? sql`not ${has}` : has
    }),
    filter.provider || filter.providerUserId
      ? sql`exists (select 1 from ${externalAccounts} where ${externalAccounts.userId} = ${users.id} and ${and(
          filter.provider ? eq(externalAccounts.provider, filter.provider.replace(/^oauth_/, '')) : undefined,
          filter.providerUserId ? inArray(externalAccounts.providerUserId, filter.providerUserId) : undefined,
        )})`
      : undefined,
    either(filter.organizationId, (ids, not) => {
      const list = sql.join(
        ids.map((id) => sql`${id}`),
        sql`, `,
      )
      const member = sql`exists (select 1 from memberships m where m.user_id = ${users.id} and m.organization_id in (${list}))`
      return not ? sql`not ${member}` : member
    }),
    filter.banned === undefined ? undefined : eq(users.banned, filter.banned),
    filter.createdAtBefore && lt(users.createdAt, filter.createdAtBefore),
    filter.createdAtAfter && gt(users.createdAt, filter.createdAtAfter),
    filter.lastSignInAtBefore && lt(users.lastSignInAt, filter.lastSignInAtBefore),
    filter.lastSignInAtAfter && gt(users.lastSignInAt, filter.lastSignInAtAfter),
    filter.lastActiveAtBefore && lt(users.lastActiveAt, filter.lastActiveAtBefore),
    filter.lastActiveAtAfter && gt(users.lastActiveAt, filter.lastActiveAtAfter),
    filter.lastActiveAtSince && gte(users.lastActiveAt, filter.lastActiveAtSince),
  )
}

/** Splits a filter's values by their sign and asks for each kind. */
function either(
  values: string[] | undefined,
  condition: (values: string[], not: boolean) => SQL | undefined,
): SQL | undefined {
  if (!values?.length) return undefined
  const excluded = values.filter((v) => v.startsWith('-')).map((v) => v.slice(1))
  const included = values.filter((v) => !v.startsWith('-')).map((v) => v.replace(/^\+/, ''))
  return and(
    included.length > 0 ? condition(included, false) : undefined,
    excluded.length > 0 ? condition(excluded, true) : undefined,
  )
}
