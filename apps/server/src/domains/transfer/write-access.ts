import { sql } from 'drizzle-orm'
import { type Tx, textArray } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { addToInitialRoleSet, createRoleSet, findRoleSet } from '../access/index.ts'
import { roles } from '../access/tables.ts'
import { emit } from '../events/index.ts'
import { featureGrants, features } from '../features/tables.ts'
import { groupMembers, groupRoles, groups, membershipPermissions, membershipRoles } from '../organizations/tables.ts'
import { insertRows } from './insert-rows.ts'
import type { FeatureRecord, OrganizationRecord, RoleRecord, RoleSetRecord } from './parse-record.ts'
import type { Seat } from './places.ts'

/** Writes a feature, unless there is one of its slug. */
export async function writeFeature(tx: Tx, record: FeatureRecord): Promise<undefined> {
  const now = tx.now()
  const { avatar_url: avatarUrl, default_for: defaultFor, ...fields } = record
  const id = newId('feature')
  const row = {
    id,
    instanceId: tx.instance.id,
    ...fields,
    avatarUrl: avatarUrl ?? null,
    defaultFor,
    createdAt: now,
    updatedAt: now,
  }
  const [made] = await insertRows(tx, features, [row], 'on conflict do nothing returning id')
  if (made) emit(tx, { type: 'feature.created', subject: id, data: { slug: record.slug } })
}

/** Writes a role of the instance or of one organization, unless there is one of its key. @returns what it lacks */
export async function writeRole(
  tx: Tx,
  record: RoleRecord,
  organizationId: string | null,
): Promise<string | undefined> {
  const now = tx.now()
  const { permissions: granted, is_creator_eligible: isCreatorEligible, in_initial_role_set: inSet, ...fields } = record
  const id = newId('role')
  const stamps = { createdAt: now, updatedAt: now }
  const row = { id, instanceId: tx.instance.id, organizationId, ...fields, isCreatorEligible, ...stamps }
  const [made] = await insertRows(tx, roles, [row], 'on conflict do nothing returning id')
  if (!made) return undefined
  if (organizationId === null && inSet) await addToInitialRoleSet(tx, id)
  const known = await tx.db.execute<{ permission_id: string }>(sql`
    insert into role_permissions (instance_id, role_id, permission_id)
    select ${tx.instance.id}, ${id}, id from permissions where key = any(${textArray(granted)}::text[])
    returning permission_id`)
  const data = { key: record.key, ...(organizationId !== null && { organization_id: organizationId }) }
  emit(tx, { type: 'role.created', subject: id, data })
  return known.length < new Set(granted).size
    ? `the role ${record.key} names permissions that are not there`
    : undefined
}

/** Writes a role set, unless there is one of its key. */
export async function writeRoleSet(tx: Tx, record: RoleSetRecord): Promise<undefined> {
  if (await findRoleSet(tx, record.key)) return
  const { default_role: defaultRole, creator_role: creatorRole, ...fields } = record
  await createRoleSet(tx, { ...fields, defaultRole, creatorRole })
}

/** Writes what an organization that was just made has made and been given. @returns what of it is not there */
export async function writeOrganizationAccess(
  tx: Tx,
  organizationId: string,
  record: OrganizationRecord,
): Promise<string | undefined> {
  const instanceId = tx.instance.id
  const now = tx.now()
  const missing: (string | undefined)[] = []
  if (record.role_set) {
    const set = await findRoleSet(tx, record.role_set)
    if (set) await tx.db.execute(sql`update organizations set role_set_id = ${set.id} where id = ${organizationId}`)
    else missing.push(`there is no role set ${record.role_set}`)
  }
  for (const role of record.roles) missing.push(await writeRole(tx, role, organizationId))
  if (record.groups.length > 0) {
    const rows = await tx.db.execute<{ id: string; key: string }>(
      sql`select id, key from roles where organization_id is null or organization_id = ${organizationId}`,
    )
    const ids = new Map([...rows].map(({ id, key }) => [key, id]))
    const made = record.groups.map((group) => ({ ...group, id: newId('group') }))
    await insertRows(
      tx,
      groups,
      made.map(({ roles: _, ...group }) => ({ ...group, instanceId, organizationId, createdAt: now, updatedAt: now })),
    )
    const held = made.flatMap((group) => group.roles.map((key) => ({ key, groupId: group.id, roleId: ids.get(key) })))
    const unknown = held.find((row) => row.roleId === undefined)
    if (unknown) missing.push(`there is no role ${unknown.key}`)
    const known = held.filter((row) => row.roleId !== undefined)
    await insertRows(
      tx,
      groupRoles,
      known.map(({ groupId, roleId }) => ({ instanceId, groupId, roleId, createdAt: now })),
    )
  }
  missing.push(await writeFeatureGrants(tx, [{ organizationId, features: record.features }]))
  return missing.find((reason) => reason !== undefined)
}

type Holding = { organizationId?: string; userId?: string; features: Record<string, boolean> }

/** Writes who has which features and who is refused them. @returns the first feature that is not there */
export async function writeFeatureGrants(tx: Tx, holdings: readonly Holding[]): Promise<string | undefined> {
  const wanted = holdings.flatMap(({ features: all, ...holder }) =>
    Object.entries(all).map(([slug, enabled]) => ({ slug, enabled, ...holder })),
  )
  if (wanted.length === 0) return undefined
  const rows = await tx.db.select({ id: features.id, slug: features.slug }).from(features)
  const ids = new Map(rows.map(({ id, slug }) => [slug, id]))
  const now = tx.now()
  const made = wanted.flatMap(({ slug, enabled, organizationId = null, userId = null }) => {
    const featureId = ids.get(slug)
    const row = { id: newId('featureGrant'), instanceId: tx.instance.id, featureId, organizationId, userId, enabled }
    return featureId === undefined ? [] : [{ ...row, createdAt: now, updatedAt: now }]
  })
  await insertRows(tx, featureGrants, made)
  const unknown = wanted.find(({ slug }) => !ids.has(slug))
  return unknown && `there is no feature ${unknown.slug}`
}

/** Writes what members have beside their primary role. */
export async function writeMemberAccess(tx: Tx, members: readonly (Seat & { id: string })[]): Promise<void> {
  const common = (seat: Seat & { id: string }) => ({
    instanceId: tx.instance.id,
    membershipId: seat.id,
    createdAt: seat.createdAt ?? tx.now(),
  })
  const rowsOf = <T>(of: (seat: Seat) => readonly T[], toRow: (one: T, seat: Seat) => object) =>
    members.flatMap((seat) => of(seat).map((one) => ({ ...common(seat), ...toRow(one, seat) })))
  const further = rowsOf(
    (seat) => seat.further,
    ({ id: roleId, source }) => ({ roleId, source }),
  )
  const direct = rowsOf(
    (seat) => seat.permissions,
    ({ id: permissionId, source }) => ({ permissionId, source }),
  )
  const teams = rowsOf(
    (seat) => seat.groups,
    ({ id: groupId, source }, seat) => ({
      groupId,
      source,
      organizationId: seat.organization.id,
    }),
  )
  await insertRows(tx, membershipRoles, further, 'on conflict do nothing')
  await insertRows(tx, membershipPermissions, direct, 'on conflict do nothing')
  await insertRows(tx, groupMembers, teams, 'on conflict do nothing')
}
