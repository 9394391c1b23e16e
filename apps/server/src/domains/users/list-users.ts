import {
  and,
  asc,
  count,
  desc,
  eq,
  gt,
  gte,
  ilike,
  inArray,
  isNull,
  lt,
  notInArray,
  or,
  type SQL,
  sql,
} from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { findUsers, type UserRecord } from './queries.ts'
import { emailAddresses, users } from './tables.ts'

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

export type UserFilter = {
  /** A value that begins with `-` excludes, `+` or nothing includes. */
  emailAddress?: string[]
  userId?: string[]
  externalId?: string[]
  username?: string[]
  organizationId?: string[]
  /** Part of a name, username, id or address. */
  query?: string
  banned?: boolean
  createdAtBefore?: Date
  createdAtAfter?: Date
  lastSignInAtBefore?: Date
  lastSignInAtAfter?: Date
  lastActiveAtBefore?: Date
  lastActiveAtAfter?: Date
  lastActiveAtSince?: Date
}

export type ListUsersInput = UserFilter & { limit: number; offset: number; orderBy?: string }

/** @throws {UsherError} `form_param_value_invalid` for an unknown order */
export async function listUsers(ctx: Ctx | Tx, input: ListUsersInput): Promise<UserRecord[]> {
  const order = orderOf(input.orderBy ?? '-created_at')
  return transaction(ctx, async (tx) => {
    const rows = await tx.db
      .select({ id: users.id })
      .from(users)
      .where(conditionOf(input))
      .orderBy(order, desc(users.id))
      .limit(input.limit)
      .offset(input.offset)
    return findUsers(
      tx,
      rows.map((r) => r.id),
    )
  })
}

export async function countUsers(ctx: Ctx | Tx, filter: UserFilter): Promise<number> {
  const [row] = await transaction(ctx, (tx) => tx.db.select({ n: count() }).from(users).where(conditionOf(filter)))
  return row?.n ?? 0
}

function orderOf(orderBy: string): SQL {
  const [, sign, name = ''] = orderBy.match(/^([+-]?)(\w+)$/) ?? []
  const column = Object.hasOwn(orderable, name) ? orderable[name as keyof typeof orderable] : undefined
  if (!column)
    throw new UsherError('form_param_value_invalid', `Users cannot be ordered by that.`, { param: 'order_by' })
  return sign === '-' ? desc(column) : asc(column)
}

function conditionOf(filter: UserFilter): SQL | undefined {
  const pattern = filter.query && `%${filter.query.replace(/[\\%_]/g, '\\$&')}%`
  const withAddress = (condition: SQL | undefined) =>
    sql`exists (select 1 from ${emailAddresses} where ${emailAddresses.userId} = ${users.id} and ${condition})`
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
    either(filter.organizationId, (ids, not) => {
      const list = sql.join(
        ids.map((id) => sql`${id}`),
        sql`, `,
      )
      const member = sql`exists (select 1 from memberships m where m.user_id = ${users.id} and m.organization_id in (${list}))`
      return not ? sql`not ${member}` : member
    }),
    pattern
      ? or(
          ilike(users.firstName, pattern),
          ilike(users.lastName, pattern),
          ilike(users.username, pattern),
          eq(users.id, filter.query ?? ''),
          withAddress(ilike(emailAddresses.emailAddress, pattern)),
        )
      : undefined,
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
