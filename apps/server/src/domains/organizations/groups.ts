import { and, asc, count, eq, ilike, inArray, type SQL, sql } from 'drizzle-orm'
import { escapeLike, type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { roles } from '../access/tables.ts'
import { emit } from '../events/index.ts'
import { keepingGuardian } from './guardian.ts'
import { getMembership, getOrganization, type MembershipRecord, withOrganizationAndRole } from './queries.ts'
import { requirePermission } from './require-permission.ts'
import { getGrantableRole } from './role-choice.ts'
import { lockOrganization } from './seats.ts'
import { groupMembers, groupRoles, groups, memberships } from './tables.ts'

type RoleName = { id: string; key: string; name: string }
export type Group = typeof groups.$inferSelect & { membersCount: number; roles: RoleName[] }

/** Groups that one organization may have. */
const maxGroups = 1000

const membersCount = sql<number>`(select count(*)::int from group_members gm where gm.group_id = groups.id)`

/** Groups with their roles: two queries, however many groups. */
async function findGroups(tx: Tx, where: SQL | undefined, page?: Pagination): Promise<Group[]> {
  const query = tx.db
    .select({ group: groups, membersCount })
    .from(groups)
    .where(where)
    .orderBy(asc(groups.createdAt), asc(groups.id))
    .$dynamic()
  const rows = await (page ? query.limit(page.limit).offset(page.offset) : query)
  if (rows.length === 0) return []
  const ids = rows.map((row) => row.group.id)
  const held = await tx.db
    .select({ groupId: groupRoles.groupId, id: roles.id, key: roles.key, name: roles.name })
    .from(groupRoles)
    .innerJoin(roles, eq(roles.id, groupRoles.roleId))
    .where(inArray(groupRoles.groupId, ids))
    .orderBy(asc(groupRoles.createdAt), asc(roles.key))
  return rows.map(({ group, membersCount }) => ({
    ...group,
    membersCount,
    roles: held.filter((r) => r.groupId === group.id).map(({ groupId: _, ...role }) => role),
  }))
}

export type ListGroupsInput = Pagination & {
  organizationId: string
  /** Part of a name. */
  query?: string | undefined
  /** Groups of this person. */
  userId?: string | undefined
}

/** @throws {UsherError} `organization_not_found_or_unauthorized`, `forbidden` or `resource_not_found` */
export async function listGroups(ctx: Ctx | Tx, input: ListGroupsInput): Promise<Page<Group>> {
  return transaction(ctx, async (tx) => {
    await requireReader(tx, input.organizationId)
    const where = and(
      eq(groups.organizationId, input.organizationId),
      input.query ? ilike(groups.name, `%${escapeLike(input.query)}%`) : undefined,
      input.userId
        ? sql`exists (select 1 from group_members gm join memberships m on m.id = gm.membership_id
            where gm.group_id = ${groups.id} and m.user_id = ${input.userId})`
        : undefined,
    )
    const [total] = await tx.db.select({ n: count() }).from(groups).where(where)
    return { data: await findGroups(tx, where, input), totalCount: total?.n ?? 0 }
  })
}

type Named = { organizationId: string; groupId: string }

/** @throws {UsherError} `organization_not_found_or_unauthorized`, `forbidden` or `resource_not_found` */
export async function getGroup(ctx: Ctx | Tx, input: Named): Promise<Group> {
  return transaction(ctx, async (tx) => {
    await requireReader(tx, input.organizationId)
    return readGroup(tx, input)
  })
}

async function readGroup(tx: Tx, { organizationId, groupId }: Named): Promise<Group> {
  const [found] = await findGroups(tx, and(eq(groups.id, groupId), eq(groups.organizationId, organizationId)))
  if (!found) throw new UsherError('resource_not_found', 'There is no such group.')
  return found
}

/** Who may see the members may see how they are grouped. */
const requireReader = async (tx: Tx, organizationId: string) => {
  const member = await requirePermission(tx, organizationId, 'org:sys_memberships:read')
  if (!member) await getOrganization(tx, organizationId)
}

/** Takes the right and the lock that every change of a group needs. */
async function begin(tx: Tx, organizationId: string): Promise<MembershipRecord | undefined> {
  const caller = await requirePermission(tx, organizationId, 'org:sys_memberships:manage')
  await lockOrganization(tx, organizationId)
  return caller
}

/** @throws {UsherError} `forbidden`, `form_param_nil`, `form_param_max_length_exceeded` or `duplicate_record` (the name) */
export async function createGroup(
  ctx: Ctx | Tx,
  input: { organizationId: string; name: string; description?: string | undefined },
): Promise<Group> {
  const { organizationId } = input
  return transaction(ctx, async (tx) => {
    await begin(tx, organizationId)
    await takeTurn(tx, `groups of ${organizationId}`)
    if ((await tx.db.$count(groups, eq(groups.organizationId, organizationId))) >= maxGroups)
      throw new UsherError('form_param_value_invalid', `An organization has ${maxGroups} groups at most.`)
    const now = tx.now()
    const id = newId('group')
    const name = parseName(input.name)
    try {
      await tx.db.insert(groups).values({
        id,
        instanceId: tx.instance.id,
        organizationId,
        name,
        description: input.description ?? '',
        createdAt: now,
        updatedAt: now,
      })
    } catch (error) {
      throw nameTaken(error)
    }
    announce(tx, 'group.created', { organizationId, groupId: id }, { name })
    return readGroup(tx, { organizationId, groupId: id })
  })
}

/** @throws {UsherError} `resource_not_found` and those of {@link createGroup} */
export async function updateGroup(
  ctx: Ctx | Tx,
  input: Named & { name?: string | undefined; description?: string | undefined },
): Promise<Group> {
  return transaction(ctx, async (tx) => {
    await begin(tx, input.organizationId)
    const known = await readGroup(tx, input)
    const name = input.name === undefined ? known.name : parseName(input.name)
    const description = input.description ?? known.description
    try {
      await tx.db.update(groups).set({ name, description, updatedAt: tx.now() }).where(eq(groups.id, known.id))
    } catch (error) {
      throw nameTaken(error)
    }
    announce(tx, 'group.updated', input, { name })
    return readGroup(tx, input)
  })
}

/** @throws {UsherError} `forbidden`, `resource_not_found` or `organization_minimum_permissions_needed` */
export async function deleteGroup(ctx: Ctx | Tx, input: Named): Promise<Group> {
  return transaction(ctx, async (tx) => {
    await begin(tx, input.organizationId)
    const known = await readGroup(tx, input)
    await keepingGuardian(tx, input, () => tx.db.delete(groups).where(eq(groups.id, known.id)))
    announce(tx, 'group.deleted', input, { name: known.name })
    return known
  })
}

/** Gives a group a role, and with it each of its members. Again: nothing happens. */
export async function addGroupRole(ctx: Ctx | Tx, input: Named & { role: unknown }): Promise<Group> {
  return transaction(ctx, async (tx) => {
    const caller = await begin(tx, input.organizationId)
    const known = await readGroup(tx, input)
    const role = await getGrantableRole(tx, input.organizationId, input.role, caller)
    await tx.db
      .insert(groupRoles)
      .values({ instanceId: tx.instance.id, groupId: known.id, roleId: role.id, createdAt: tx.now() })
      .onConflictDoNothing()
    announce(tx, 'group.updated', input, { name: known.name, role_added: role.key })
    return readGroup(tx, input)
  })
}

/** @throws {UsherError} `resource_not_found` if the group has no such role, and those of {@link deleteGroup} */
export async function removeGroupRole(ctx: Ctx | Tx, input: Named & { role: string }): Promise<Group> {
  return transaction(ctx, async (tx) => {
    await begin(tx, input.organizationId)
    const known = await readGroup(tx, input)
    const role = known.roles.find((r) => r.key === input.role)
    if (!role) throw new UsherError('resource_not_found', 'The group has no such role.')
    await keepingGuardian(tx, input, () =>
      tx.db.delete(groupRoles).where(and(eq(groupRoles.groupId, known.id), eq(groupRoles.roleId, role.id))),
    )
    announce(tx, 'group.updated', input, { name: known.name, role_removed: role.key })
    return readGroup(tx, input)
  })
}

/**
 * Takes a member into a group. Again: nothing happens.
 *
 * @throws {UsherError} `forbidden` (also if the group's roles allow more than the caller may), or `resource_not_found`,
 *   also for who is no member of the organization
 */
export async function addGroupMember(ctx: Ctx | Tx, input: Named & { userId: string }): Promise<MembershipRecord> {
  const { organizationId, userId } = input
  return transaction(ctx, async (tx) => {
    const caller = await begin(tx, organizationId)
    const group = await readGroup(tx, input)
    const known = await getMembership(tx, input)
    for (const { key } of group.roles) await getGrantableRole(tx, organizationId, key, caller)
    const row = { instanceId: tx.instance.id, groupId: group.id, membershipId: known.id, organizationId }
    const made = await tx.db
      .insert(groupMembers)
      .values({ ...row, createdAt: tx.now() })
      .onConflictDoNothing()
      .returning({ groupId: groupMembers.groupId })
    if (made.length > 0) announce(tx, 'groupMembership.created', input, { user_id: userId })
    return getMembership(tx, input)
  })
}

/** @throws {UsherError} `resource_not_found` if they are not in it, and those of {@link deleteGroup} */
export async function removeGroupMember(ctx: Ctx | Tx, input: Named & { userId: string }): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    await begin(tx, input.organizationId)
    const group = await readGroup(tx, input)
    const known = await getMembership(tx, input)
    await keepingGuardian(tx, known, async () => {
      const gone = await tx.db
        .delete(groupMembers)
        .where(and(eq(groupMembers.groupId, group.id), eq(groupMembers.membershipId, known.id)))
        .returning({ groupId: groupMembers.groupId })
      if (gone.length === 0) throw new UsherError('resource_not_found', 'This person is not in the group.')
    })
    announce(tx, 'groupMembership.deleted', input, { user_id: input.userId })
    return getMembership(tx, input)
  })
}

/** The members of a group, in the order in which they came into it. */
export async function listGroupMembers(ctx: Ctx | Tx, input: Named & Pagination): Promise<Page<MembershipRecord>> {
  return transaction(ctx, async (tx) => {
    await requireReader(tx, input.organizationId)
    const group = await readGroup(tx, input)
    const rows = await tx.db
      .select({ membership: memberships })
      .from(groupMembers)
      .innerJoin(memberships, eq(memberships.id, groupMembers.membershipId))
      .where(eq(groupMembers.groupId, group.id))
      .orderBy(asc(groupMembers.createdAt), asc(groupMembers.membershipId))
      .limit(input.limit)
      .offset(input.offset)
    const data = await withOrganizationAndRole(
      tx,
      rows.map((row) => row.membership),
    )
    return { data, totalCount: group.membersCount }
  })
}

function announce(tx: Tx, type: string, { organizationId, groupId }: Named, data: Record<string, unknown>) {
  emit(tx, { type, subject: groupId, data: { organization_id: organizationId, ...data } })
}

function parseName(name: string): string {
  const trimmed = name.trim()
  if (trimmed === '') throw new UsherError('form_param_nil', 'Enter a name.', { param: 'name' })
  if (trimmed.length > 100)
    throw new UsherError('form_param_max_length_exceeded', 'A name has 100 characters at most.', { param: 'name' })
  return trimmed
}

function nameTaken(error: unknown): unknown {
  if (!isUniqueViolation(error, 'groups_name')) return error
  return new UsherError('duplicate_record', 'There is a group of this name already.', { param: 'name' })
}
