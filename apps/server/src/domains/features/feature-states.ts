import { type SQL, sql } from 'drizzle-orm'

/**
 * The features that the instance defines, each with whether somebody has it, as one JSON value of a query:
 * `[["reports", true], …]` by slug, null when there are none. Of two grants the direct one counts; without a grant, the
 * feature's default does; one that is switched off nobody has.
 *
 * @param holder the expression of the id of the organization or person, in a query around this one
 */
export function featureStatesOf(
  kind: 'organization' | 'user',
  holder: SQL,
): SQL<[slug: string, has: boolean][] | string | null> {
  const [column, everyone] = kind === 'organization' ? ['organization_id', 'organizations'] : ['user_id', 'users']
  return sql`(
    select json_agg(json_build_array(f.slug, f.enabled and coalesce(
      (select fg.enabled from feature_grants fg where fg.feature_id = f.id and fg.${sql.raw(column)} = ${holder}
        order by fg.source limit 1),
      f.default_for in ('everyone', ${sql.raw(`'${everyone}'`)}))) order by f.slug)
    from features f)`
}
