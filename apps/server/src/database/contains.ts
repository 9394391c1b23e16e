import { type SQL, sql } from 'drizzle-orm'
import { escapeLike } from './escape-like.ts'

/** Three letters or digits in a row: a trigram that an index can be asked for. */
const trigram = /[\p{L}\p{N}]{3}/u

/**
 * Whether a column of what `search.ts` states has a text in it, whatever the text's case.
 *
 * A trigram index helps only with texts that have a trigram; for others it would be read from end to end, which takes
 * longer than the rows do. The planner does not know that, so an expression keeps the index from it.
 */
export function contains(column: string, text: string): SQL {
  const pattern = `%${escapeLike(text)}%`
  return trigram.test(text)
    ? sql`${sql.raw(column)} like lower(${pattern})`
    : sql`${sql.raw(column)} || '' like lower(${pattern})`
}
