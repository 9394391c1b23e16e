import { and, asc, count, eq, inArray, sql } from 'drizzle-orm'
import { type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page } from '../../kernel/pagination.ts'
import { emit } from '../events/index.ts'
import { findRoles, type ListInput, matching, orderOf, type Role, type RoleRecord } from './queries.ts'
import { roleSetRoles, roleSets, roles } from './tables.ts'

export type RoleSet = typeof roleSets.$inferSelect
/** A role in a set, with how many members have it in the organizations that use the set. */
export type RoleSetItem = Role & { membersCount: number }
export type RoleSetRecord = RoleSet & { roles: RoleSetItem[]; defaultRole: RoleSetItem; creatorRole: RoleSetItem }

/** Roles that one set may hold. */
const maxRoles = 100
/** Who makes an organization has to be able to manage its members. */
const creatorNeeds = 'org:sys_memberships:manage'

// An organization without a set of its own uses the initial one.
const membersCount = sql<number>`(select count(*)::int from memberships m
  join organizations o on o.id = m.organization_id
  where m.role_id = role_set_roles.role_id
    and coalesce(o.role_set_id, (select rs.id from role_sets rs where rs.type = 'initial')) = role_set_roles.role_set_id)`

/** Completes sets with their roles: one query, however many sets. */
async function withRoles(tx: Tx, sets: RoleSet[]): Promise<RoleSetRecord[]> {
  if (sets.length === 0) return []
  const ids = sets.map((set) => set.id)
  const rows = await tx.db
    .select({ roleSetId: roleSetRoles.roleSetId, role: roles, membersCount })
    .from(roleSetRoles)
    .innerJoin(roles, eq(roles.id, roleSetRoles.roleId))
    .where(inArray(roleSetRoles.roleSetId, ids))
    .orderBy(asc(roles.createdAt), asc(roles.key))
  return sets.flatMap((set) => {
    const items = rows.filter((r) => r.roleSetId === set.id).map((r) => ({ ...r.role, membersCount: r.membersCount }))
    const { defaultRole, creatorRole } = tx.instance.settings.organizations
    const find = (id: string | null, key: string) =>
      items.find((r) => (id === null ? r.key === key : r.id === id)) ?? items[0]
    const [forNew, forCreator] = [find(set.defaultRoleId, defaultRole), find(set.creatorRoleId, creatorRole)]
    return forNew && forCreator ? [{ ...set, roles: items, defaultRole: forNew, creatorRole: forCreator }] : []
  })
}

/** Role sets with their roles: three queries, however many sets. @throws {UsherError} `form_param_value_invalid` (the order) */
export async function listRoleSets(ctx: Ctx | Tx, input: ListInput): Promise<Page<RoleSetRecord>> {
  const where = matching(roleSets, input.query)
  return transaction(ctx, async (tx) => {
    const rows = await tx.db
      .select()
      .from(roleSets)
      .where(where)
      .orderBy(...orderOf(roleSets, input.orderBy))
      .limit(input.limit)
      .offset(input.offset)
    const [total] = await tx.db.select({ n: count() }).from(roleSets).where(where)
    return { data: await withRoles(tx, rows), totalCount: total?.n ?? 0 }
  })
}

/** By id or key. */
export async function findRoleSet(ctx: Ctx | Tx, idOrKey: string): Promise<RoleSetRecord | undefined> {
  const which = idOrKey.startsWith('role_set:') ? eq(roleSets.key, idOrKey) : eq(roleSets.id, idOrKey)
  return transaction(ctx, async (tx) => (await withRoles(tx, await tx.db.select().from(roleSets).where(which)))[0])
}

/** By id or key. @throws {UsherError} `resource_not_found` */
export async function getRoleSet(ctx: Ctx | Tx, idOrKey: string): Promise<RoleSetRecord> {
  const found = await findRoleSet(ctx, idOrKey)
  if (!found) throw new UsherError('resource_not_found', 'There is no such role set.')
  return found
}

/** The set that an organization chooses its roles from. @param id null: it has none of its own */
export async function getRoleSetOf(ctx: Ctx | Tx, id: string | null): Promise<RoleSetRecord> {
  if (id !== null) return getRoleSet(ctx, id)
  return transaction(ctx, async (tx) => {
    const [initial] = await withRoles(tx, await tx.db.select().from(roleSets).where(eq(roleSets.type, 'initial')))
    if (!initial) throw new UsherError('internal_error', 'The instance has no initial role set.')
    return initial
  })
}

type RoleName = { id: string; key: string }

/** The roles that newcomers of organizations get: of each the one that its role set names. */
export async function findRolesForNew(
  tx: Tx,
  organizationIds: readonly string[],
  as: 'member' | 'creator',
): Promise<Map<string, RoleName>> {
  const { defaultRole, creatorRole } = tx.instance.settings.organizations
  const [column, key] = as === 'member' ? ['default_role_id', defaultRole] : ['creator_role_id', creatorRole]
  const rows = await tx.db.execute<RoleName & { organization_id: string }>(sql`
    select o.id as organization_id, r.id, r.key from organizations o left join role_sets rs on rs.id = o.role_set_id
    join roles r on r.id = coalesce(rs.${sql.raw(column)},
      (select id from roles where key = ${key} and organization_id is null))
    where o.id = any(${textArray(organizationIds)}::text[])`)
  return new Map([...rows].map(({ organization_id, id, key }) => [organization_id, { id, key }]))
}

/** @throws {UsherError} `form_param_value_invalid` when the settings name a role that is not there */
export async function getRoleForNew(tx: Tx, organizationId: string, as: 'member' | 'creator'): Promise<RoleName> {
  const role = (await findRolesForNew(tx, [organizationId], as)).get(organizationId)
  if (!role) throw new UsherError('form_param_value_invalid', 'There is no such role.', { param: 'role' })
  return role
}

export type RoleSetInput = {
  /** `role_set:…`; made from the name when absent. */
  key?: string | undefined
  name: string
  description?: string | undefined
  /** `initial`: that of all organizations that have no other. The one that was so becomes `custom`. */
  type?: 'initial' | 'custom' | undefined
  /** Keys of instance roles. */
  roles: string[]
  defaultRole: string
  creatorRole: string
}

/** What the settings have to name from now on, because the initial set's roles for new members stand there. */
export type RoleSettings = { defaultRole: string; creatorRole: string }
export type RoleSetChange = { roleSet: RoleSetRecord; settings: RoleSettings | undefined }

/**
 * @returns the set, and what the caller has to write into the instance's settings
 * @throws {UsherError} `form_param_format_invalid`, `form_param_value_invalid` or `duplicate_record`
 */
export async function createRoleSet(ctx: Ctx | Tx, input: RoleSetInput): Promise<RoleSetChange> {
  const key = parseRoleSetKey(input.key ?? keyFrom(input.name))
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const id = newId('roleSet')
    const members = await getRoles(tx, input.roles, 'roles')
    try {
      await tx.db.insert(roleSets).values({
        id,
        instanceId: tx.instance.id,
        key,
        name: input.name,
        description: input.description ?? '',
        type: 'custom',
        createdAt: now,
        updatedAt: now,
      })
    } catch (error) {
      throw keyTaken(error)
    }
    await addRoles(tx, id, members)
    emit(tx, { type: 'roleSet.created', subject: id, data: { key } })
    return settle(tx, id, input)
  })
}

/** @throws {UsherError} `resource_not_found` and those of {@link createRoleSet} */
export async function updateRoleSet(
  ctx: Ctx | Tx,
  { id: idOrKey, ...change }: { id: string } & Partial<Omit<RoleSetInput, 'roles'>>,
): Promise<RoleSetChange> {
  return transaction(ctx, async (tx) => {
    const known = await getRoleSet(tx, idOrKey)
    if (change.type === 'custom' && known.type === 'initial')
      throw new UsherError('form_param_value_invalid', 'Make another set the initial one instead.', { param: 'type' })
    const { key = known.key, name = known.name, description = known.description } = change
    try {
      await tx.db
        .update(roleSets)
        .set({ key: parseRoleSetKey(key), name, description, updatedAt: tx.now() })
        .where(eq(roleSets.id, known.id))
    } catch (error) {
      throw keyTaken(error)
    }
    emit(tx, { type: 'roleSet.updated', subject: known.id, data: { key } })
    return settle(tx, known.id, {
      type: change.type ?? known.type,
      defaultRole: change.defaultRole ?? known.defaultRole.key,
      creatorRole: change.creatorRole ?? known.creatorRole.key,
    })
  })
}

/** @throws {UsherError} as {@link updateRoleSet} */
export async function addRolesToRoleSet(
  ctx: Ctx | Tx,
  input: { id: string; roles: string[]; defaultRole?: string | undefined; creatorRole?: string | undefined },
): Promise<RoleSetChange> {
  return transaction(ctx, async (tx) => {
    const known = await getRoleSet(tx, input.id)
    await lockRoleSet(tx, known.id)
    await addRoles(tx, known.id, await getRoles(tx, input.roles, 'role_keys'))
    return updateRoleSet(tx, { id: known.id, defaultRole: input.defaultRole, creatorRole: input.creatorRole })
  })
}

/** Takes a role out of a set whose organizations do not use it any more. Members are the caller's to move first. */
export async function removeRoleFromRoleSet(
  tx: Tx,
  { roleSet, role, to }: { roleSet: RoleSetRecord; role: Role; to: Role },
): Promise<RoleSetChange> {
  await tx.db.delete(roleSetRoles).where(and(eq(roleSetRoles.roleSetId, roleSet.id), eq(roleSetRoles.roleId, role.id)))
  const instead = (item: Role) => (item.id === role.id ? to.key : item.key)
  return updateRoleSet(tx, {
    id: roleSet.id,
    defaultRole: instead(roleSet.defaultRole),
    creatorRole: instead(roleSet.creatorRole),
  })
}

/** Deletes a set that no organization uses any more. */
export async function deleteRoleSet(tx: Tx, roleSet: RoleSetRecord): Promise<void> {
  if (roleSet.type === 'initial')
    throw new UsherError('system_record_immutable', 'Make another set the initial one before this one goes.')
  await tx.db.delete(roleSets).where(eq(roleSets.id, roleSet.id))
  emit(tx, { type: 'roleSet.deleted', subject: roleSet.id, data: { key: roleSet.key } })
}

/** Changes of one set come one after the other. */
export async function lockRoleSet(tx: Tx, id: string): Promise<void> {
  await tx.db.select({ id: roleSets.id }).from(roleSets).where(eq(roleSets.id, id)).for('update')
}

/** Writes which roles new members and creators get, and which set is the initial one. */
async function settle(
  tx: Tx,
  id: string,
  { type, defaultRole, creatorRole }: RoleSettings & { type?: RoleSet['type'] | undefined },
): Promise<RoleSetChange> {
  // Of two that would become the initial one at once, the second waits for the first.
  await tx.db.execute(sql`select id from role_sets where type = 'initial' for update`)
  const before = await getRoleSetOf(tx, null)
  const items = await tx.db
    .select({ role: roles })
    .from(roleSetRoles)
    .innerJoin(roles, eq(roles.id, roleSetRoles.roleId))
    .where(eq(roleSetRoles.roleSetId, id))
  const named = (key: string, param: string) => {
    const found = items.find((item) => item.role.key === key)
    if (!found) throw new UsherError('form_param_value_invalid', 'The set has no such role.', { param })
    return found.role
  }
  const forNew = named(defaultRole, 'default_role_key')
  const [forCreator] = await findRoles(tx, eq(roles.id, named(creatorRole, 'creator_role_key').id))
  if (!forCreator?.permissions.some((p) => p.key === creatorNeeds))
    throw new UsherError('form_param_value_invalid', `The role of creators needs ${creatorNeeds}.`, {
      param: 'creator_role_key',
    })
  if (type !== 'initial') {
    const set = { type: 'custom' as const, defaultRoleId: forNew.id, creatorRoleId: forCreator.id }
    await tx.db.update(roleSets).set(set).where(eq(roleSets.id, id))
    return { roleSet: await getRoleSet(tx, id), settings: undefined }
  }
  if (before.id !== id) {
    const set = { type: 'custom' as const, defaultRoleId: before.defaultRole.id, creatorRoleId: before.creatorRole.id }
    await tx.db.update(roleSets).set(set).where(eq(roleSets.id, before.id))
    // Whoever had none of their own keeps what they had.
    await tx.db.execute(sql`update organizations set role_set_id = ${before.id} where role_set_id is null`)
  }
  const set = { type: 'initial' as const, defaultRoleId: null, creatorRoleId: null }
  await tx.db.update(roleSets).set(set).where(eq(roleSets.id, id))
  const [roleSet] = await withRoles(tx, await tx.db.select().from(roleSets).where(eq(roleSets.id, id)))
  const item = (role: Role) => roleSet?.roles.find((r) => r.id === role.id) as RoleSetItem
  return {
    roleSet: { ...(roleSet as RoleSetRecord), defaultRole: item(forNew), creatorRole: item(forCreator) },
    settings: { defaultRole, creatorRole },
  }
}

async function getRoles(tx: Tx, keys: string[], param: string): Promise<RoleRecord[]> {
  const wanted = [...new Set(keys)]
  const found = wanted.length
    ? await findRoles(tx, and(inArray(roles.key, wanted), sql`${roles.organizationId} is null`))
    : []
  if (found.length !== wanted.length || wanted.length === 0)
    throw new UsherError('form_param_value_invalid', 'There is no such role.', { param })
  return found
}

async function addRoles(tx: Tx, roleSetId: string, members: RoleRecord[]) {
  await tx.db
    .insert(roleSetRoles)
    .values(members.map((role) => ({ instanceId: tx.instance.id, roleSetId, roleId: role.id })))
    .onConflictDoNothing()
  if ((await tx.db.$count(roleSetRoles, eq(roleSetRoles.roleSetId, roleSetId))) > maxRoles)
    throw new UsherError('form_param_value_invalid', `A set has ${maxRoles} roles at most.`, { param: 'roles' })
}

function parseRoleSetKey(key: string): string {
  if (!/^role_set:[a-z0-9_]{1,50}$/.test(key))
    throw new UsherError('form_param_format_invalid', 'A key of a set looks like role_set:agencies.', { param: 'key' })
  return key
}

const keyFrom = (name: string) =>
  `role_set:${name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, 50)}`

function keyTaken(error: unknown): unknown {
  if (!isUniqueViolation(error, 'role_sets_key')) return error
  return new UsherError('duplicate_record', 'A role set with this key exists already.', { param: 'key' })
}
