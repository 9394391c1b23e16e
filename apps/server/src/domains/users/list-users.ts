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

export type UserFilter = {
  /** A value that begins with `-` excludes, `+` or nothing includes. */
  emailAddress?: string[]
  phoneNumber?: string[]
  userId?: string[]
  externalId?: string[]
  username?: string[]
  organizationId?: string[]
  /** Part of a name, username, address or number, or a whole id. */
  query?: string
  emailAddressQuery?: string
  phoneNumberQuery?: string
  usernameQuery?: string
  nameQuery?: string
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
    const rows = await tx.db
      .select({ id: users.id })
      .from(users)
      .where(and(conditionOf(input), startingAfter ? await after(tx, startingAfter) : undefined))
      .orderBy(...order)
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

function conditionOf(filter: UserFilter): SQL | undefined {
  const pattern = partOf(filter.query)
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
    pattern
      ? or(
          ilike(users.firstName, pattern),
          ilike(users.lastName, pattern),
          ilike(users.username, pattern),
          eq(users.id, filter.query ?? ''),
          withAddress(ilike(emailAddresses.emailAddress, pattern)),
          withNumber(ilike(phoneNumbers.phoneNumber, pattern)),
        )
      : undefined,
    search(filter.emailAddressQuery, (part) => withAddress(ilike(emailAddresses.emailAddress, part))),
    search(filter.phoneNumberQuery, (part) => withNumber(ilike(phoneNumbers.phoneNumber, part))),
    search(filter.usernameQuery, (part) => ilike(users.username, part)),
    search(filter.nameQuery, (part) => ilike(sql`concat_ws(' ', ${users.firstName}, ${users.lastName})`, part)),
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

const partOf = (text: string | undefined) => text && `%${text.replace(/[\\%_]/g, '\\$&')}%`

const search = (text: string | undefined, condition: (part: string) => SQL | undefined) => {
  const part = partOf(text)
  return part ? condition(part) : undefined
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
