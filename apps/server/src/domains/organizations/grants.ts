import { type SQL, sql } from 'drizzle-orm'
import { type Grant, permissionsOf } from '../access/index.ts'
import { featureStatesOf } from '../features/index.ts'

/** JSON comes as text or as what it says, by the driver's mood. */
type Json<T> = T | string | null

/** What the columns of {@link accessColumns} hold. */
export type AccessColumns = {
  roleGrants: Json<
    { role: [string, string, string]; source: Grant['source']; group: [string, string] | null; permissions: string[] }[]
  >
  directGrants: Json<{ source: Grant['source']; permissions: string[] }[]>
  featureStates: Json<[slug: string, has: boolean][]>
}

/**
 * All ways in which the membership of a query holds roles and permissions, read along with its row: the primary role
 * first, then the others, then those of groups, each with its permissions and with who decided.
 */
export const accessColumns = {
  roleGrants: sql<AccessColumns['roleGrants']>`(
    select json_agg(json_build_object(
      'role', json_build_array(r.id, r.key, r.name),
      'source', g.source,
      'group', case when g.group_id is not null then json_build_array(g.group_id, g.group_name) end,
      'permissions', array(select p.key from role_permissions rp join permissions p on p.id = rp.permission_id
        where rp.role_id = r.id order by p.key)
      ) order by g.rank, g.created_at, r.key, g.group_id)
    from (
      select 0 as rank, memberships.role_id, memberships.role_source as source, null as group_id, null as group_name,
        memberships.created_at
      union all
      select 1, mr.role_id, mr.source, null, null, mr.created_at
      from membership_roles mr where mr.membership_id = memberships.id
      union all
      select 2, gr.role_id, 'group', gg.id, gg.name, gr.created_at
      from group_members gm join groups gg on gg.id = gm.group_id join group_roles gr on gr.group_id = gg.id
      where gm.membership_id = memberships.id
    ) g join roles r on r.id = g.role_id)`,
  directGrants: sql<AccessColumns['directGrants']>`(
    select json_agg(json_build_object('source', mp.source, 'permissions', json_build_array(p.key)) order by p.key)
    from membership_permissions mp join permissions p on p.id = mp.permission_id
    where mp.membership_id = memberships.id)`,
  featureStates: featureStatesOf('organization', sql`memberships.organization_id`) as SQL<
    AccessColumns['featureStates']
  >,
}

const parse = <T>(value: Json<T>): T | [] => (typeof value === 'string' ? (JSON.parse(value) as T) : (value ?? []))

/** What a membership allows, from the columns of {@link accessColumns}. */
export function readAccess(row: AccessColumns): { permissions: string[]; grants: Grant[]; features: string[] } {
  const ofRoles = parse(row.roleGrants).map(({ role: [id, key, name], group, ...rest }) => ({
    ...rest,
    role: { id, key, name },
    group: group && { id: group[0], name: group[1] },
  }))
  const direct = parse(row.directGrants).map((grant) => ({ ...grant, role: null, group: null }))
  const grants: Grant[] = [...ofRoles, ...direct]
  const states = parse(row.featureStates)
  return {
    permissions: permissionsOf(grants, new Map(states)),
    grants,
    features: states.filter(([, has]) => has).map(([slug]) => slug),
  }
}
