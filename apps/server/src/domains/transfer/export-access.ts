import { asc, eq, inArray, isNull, sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { listRoleSets } from '../access/index.ts'
import { permissions, rolePermissions, roles } from '../access/tables.ts'
import { featureGrants, features } from '../features/tables.ts'
import { groupMembers, groups, membershipPermissions, membershipRoles } from '../organizations/tables.ts'

/** Lines of features, roles of the instance and role sets, in the order in which an import needs them. */
export async function exportAccess(tx: Tx): Promise<object[]> {
  const lines = (await tx.db.select().from(features).orderBy(asc(features.slug))).map((feature) => ({
    object: 'feature',
    slug: feature.slug,
    name: feature.name,
    description: feature.description,
    avatar_url: feature.avatarUrl,
    enabled: feature.enabled,
    default_for: feature.defaultFor,
  }))
  const rows = await tx.db.select().from(roles).where(isNull(roles.organizationId)).orderBy(asc(roles.key))
  const granted = await permissionsOf(
    tx,
    rows.map((role) => role.id),
  )
  const { data: sets } = await listRoleSets(tx, { limit: 500, offset: 0, orderBy: 'key' })
  const initial = sets.find((set) => set.type === 'initial')
  const roleLines = rows.map((role) => ({
    object: 'role',
    key: role.key,
    name: role.name,
    description: role.description,
    is_creator_eligible: role.isCreatorEligible,
    permissions: granted.get(role.id) ?? [],
    ...(!initial?.roles.some((item) => item.id === role.id) && { in_initial_role_set: false }),
  }))
  const setLines = sets
    .filter((set) => set.type === 'custom')
    .map((set) => ({
      object: 'role_set',
      key: set.key,
      name: set.name,
      description: set.description,
      roles: set.roles.map((role) => role.key).sort(),
      default_role: set.defaultRole.key,
      creator_role: set.creatorRole.key,
    }))
  return [...lines, ...roleLines, ...setLines]
}

/** Keys of permissions by role. */
async function permissionsOf(tx: Tx, roleIds: string[]): Promise<Map<string, string[]>> {
  if (roleIds.length === 0) return new Map()
  const rows = await tx.db
    .select({ roleId: rolePermissions.roleId, key: permissions.key })
    .from(rolePermissions)
    .innerJoin(permissions, eq(permissions.id, rolePermissions.permissionId))
    .where(inArray(rolePermissions.roleId, roleIds))
    .orderBy(asc(permissions.key))
  return collect(
    rows,
    (row) => row.roleId,
    (row) => row.key,
  )
}

function collect<T, V>(rows: readonly T[], keyOf: (row: T) => string, partOf: (row: T) => V): Map<string, V[]> {
  const all = new Map<string, V[]>()
  for (const row of rows) {
    const known = all.get(keyOf(row))
    if (known) known.push(partOf(row))
    else all.set(keyOf(row), [partOf(row)])
  }
  return all
}

/** What organizations have made and been given, as parts of their lines; what they lack is left out. */
export async function accessOfOrganizations(tx: Tx, ids: string[]): Promise<Map<string, object>> {
  const own = await tx.db.select().from(roles).where(inArray(roles.organizationId, ids)).orderBy(asc(roles.key))
  const granted = await permissionsOf(
    tx,
    own.map((role) => role.id),
  )
  const teams = await tx.db
    .select({ group: groups, roleKeys: rolesOfGroup })
    .from(groups)
    .where(inArray(groups.organizationId, ids))
    .orderBy(asc(groups.name), asc(groups.createdAt))
  const sets = await tx.db.execute<{ id: string; key: string }>(
    sql`select o.id, rs.key from organizations o join role_sets rs on rs.id = o.role_set_id where rs.type = 'custom'`,
  )
  const rolesBy = collect(
    own,
    (role) => role.organizationId ?? '',
    (role) => ({
      key: role.key,
      name: role.name,
      description: role.description,
      permissions: granted.get(role.id) ?? [],
    }),
  )
  const groupsBy = collect(
    teams,
    ({ group }) => group.organizationId,
    ({ group, roleKeys }) => ({
      name: group.name,
      description: group.description,
      source: group.source,
      roles: parse(roleKeys),
    }),
  )
  const setBy = new Map([...sets].map(({ id, key }) => [id, key]))
  const featuresBy = await featuresOf(tx, 'organizationId', ids)
  return new Map(
    ids.map((id) => [
      id,
      {
        ...(setBy.has(id) && { role_set: setBy.get(id) }),
        ...(rolesBy.has(id) && { roles: rolesBy.get(id) }),
        ...(groupsBy.has(id) && { groups: groupsBy.get(id) }),
        ...(featuresBy.has(id) && { features: featuresBy.get(id) }),
      },
    ]),
  )
}

const rolesOfGroup = sql<string[] | string | null>`(select json_agg(r.key order by r.key)
  from group_roles gr join roles r on r.id = gr.role_id where gr.group_id = groups.id)`
const parse = (value: string[] | string | null): string[] =>
  typeof value === 'string' ? JSON.parse(value) : (value ?? [])

/** What each organization or person was given or refused directly. */
export async function featuresOf(tx: Tx, holder: 'organizationId' | 'userId', ids: string[]) {
  const rows = await tx.db
    .select({ holder: featureGrants[holder], slug: features.slug, enabled: featureGrants.enabled })
    .from(featureGrants)
    .innerJoin(features, eq(features.id, featureGrants.featureId))
    .where(sql`${inArray(featureGrants[holder], ids)} and ${featureGrants.source} = 'direct'`)
    .orderBy(asc(features.slug))
  const pairs = collect(
    rows,
    (row) => row.holder ?? '',
    (row) => [row.slug, row.enabled] as const,
  )
  return new Map([...pairs].map(([id, all]) => [id, Object.fromEntries(all)]))
}

/** What members have beside their primary role, by membership; what they lack is left out. */
export async function accessOfMemberships(tx: Tx, ids: string[]): Promise<Map<string, object>> {
  if (ids.length === 0) return new Map()
  const further = await tx.db
    .select({ id: membershipRoles.membershipId, role: roles.key, source: membershipRoles.source })
    .from(membershipRoles)
    .innerJoin(roles, eq(roles.id, membershipRoles.roleId))
    .where(inArray(membershipRoles.membershipId, ids))
    .orderBy(asc(roles.key))
  const direct = await tx.db
    .select({
      id: membershipPermissions.membershipId,
      permission: permissions.key,
      source: membershipPermissions.source,
    })
    .from(membershipPermissions)
    .innerJoin(permissions, eq(permissions.id, membershipPermissions.permissionId))
    .where(inArray(membershipPermissions.membershipId, ids))
    .orderBy(asc(permissions.key))
  const teams = await tx.db
    .select({ id: groupMembers.membershipId, group: groups.name, source: groupMembers.source })
    .from(groupMembers)
    .innerJoin(groups, eq(groups.id, groupMembers.groupId))
    .where(inArray(groupMembers.membershipId, ids))
    .orderBy(asc(groups.name))
  const [rolesBy, permissionsBy, groupsBy] = [further, direct, teams].map((rows) =>
    collect(
      rows as ({ id: string } & object)[],
      (row) => row.id,
      ({ id: _, ...rest }) => rest,
    ),
  )
  return new Map(
    ids.map((id) => [
      id,
      {
        ...(rolesBy?.has(id) && { roles: rolesBy.get(id) }),
        ...(permissionsBy?.has(id) && { permissions: permissionsBy.get(id) }),
        ...(groupsBy?.has(id) && { groups: groupsBy.get(id) }),
      },
    ]),
  )
}
