import { and, type SQL, sql } from 'drizzle-orm'
import { contains } from '../../database/contains.ts'
import { type Tx, textArray } from '../../database/index.ts'

/** Parts of what users are called. All that are given must match, whatever their case. */
export type UserSearch = {
  /** Part of a name, username, address or number, or a whole id. */
  query?: string
  emailAddressQuery?: string
  phoneNumberQuery?: string
  usernameQuery?: string
  nameQuery?: string
}

/** Columns of the view `searchable_users`. */
const columns = {
  emailAddressQuery: 'email_addresses',
  phoneNumberQuery: 'phone_numbers',
  usernameQuery: 'username',
  nameQuery: 'name',
} as const

/** What a row of the view `searchable_users` has to be like; undefined when nothing is searched. */
export function searchCondition({ query, ...search }: UserSearch): SQL | undefined {
  const parts = Object.entries(columns).map(([key, column]) => {
    const part = search[key as keyof typeof columns]
    // The index is on the document, which has the columns in it.
    return part ? and(contains('document', part), contains(column, part)) : undefined
  })
  const anything = query ? contains('document', query) : undefined
  return and(query?.startsWith('user_') ? sql`(${anything} or user_id = ${query})` : anything, ...parts)
}

/** As many ids as are worth handing back to the database. */
const few = 2_000

/**
 * Ids of the users whom a search finds, in no order.
 *
 * @returns `many` when there are more than `limit`: then it is faster to look at users in the order that is wanted,
 *   because the first page is soon full
 */
export async function findMatches(tx: Tx, search: UserSearch, limit = few): Promise<string[] | 'many'> {
  const [row] = await tx.db.execute<{ ids: string | null; n: number }>(sql`
    select string_agg(user_id, ',') as ids, count(*)::int as n from (
      select user_id from searchable_users where ${searchCondition(search)} limit ${limit + 1}) found`)
  if ((row?.n ?? 0) > limit) return 'many'
  return row?.ids?.split(',') ?? []
}

/** Whether an id is one of these, of which there may be thousands. */
export const isAnyOf = (id: unknown, ids: readonly string[]): SQL => sql`${id} = any(${textArray(ids)}::text[])`
