import { and, asc, count, desc, eq, ilike, inArray, or, type SQL, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { imageUrlOf } from '../../kernel/image-url.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { findRolesByIds } from '../access/index.ts'
import { emailAddresses, users } from '../users/tables.ts'
import { memberships, organizations } from './tables.ts'

export type Organization = typeof organizations.$inferSelect & {
  membersCount: number
  pendingInvitationsCount: number
  /** Where the logo is served; null: there is none. */
  imageUrl: string | null
}
export type Membership = typeof memberships.$inferSelect

/** A membership with its organization and what its role allows. */
export type MembershipRecord = Membership & {
  organization: Organization
  role: { id: string; key: string; name: string; permissions: string[] }
}

// Counted where they are shown, in the query that reads the row: there is no counter to drift. The table is named in
// full, because Drizzle leaves it out of columns in a selection, and inside the subquery `id` would be another one.
const membersCount = sql<number>`(select count(*)::int from memberships m where m.organization_id = organizations.id)`
const pendingInvitationsCount = sql<number>`(select count(*)::int from organization_invitations i
  where i.organization_id = organizations.id and i.status = 'pending' and i.expires_at > now())`

export async function findOrganizations(
  tx: Tx,
  where: SQL | undefined,
  page?: Pagination & { order?: SQL },
): Promise<Organization[]> {
  const query = tx.db
    .select({ organization: organizations, membersCount, pendingInvitationsCount })
    .from(organizations)
    .where(where)
    .orderBy(page?.order ?? desc(organizations.createdAt), organizations.id)
    .$dynamic()
  const rows = await (page ? query.limit(page.limit).offset(page.offset) : query)
  return rows.map(({ organization, ...counts }) => ({
    ...organization,
    ...counts,
    imageUrl: imageUrlOf(tx, organization.imageId),
  }))
}

/** By id or slug. @throws {UsherError} `resource_not_found` */
export async function getOrganization(ctx: Ctx | Tx, idOrSlug: string): Promise<Organization> {
  const where = idOrSlug.startsWith('org_') ? eq(organizations.id, idOrSlug) : eq(organizations.slug, idOrSlug)
  const [found] = await transaction(ctx, (tx) => findOrganizations(tx, where))
  if (!found) throw new UsherError('resource_not_found', 'There is no such organization.')
  return found
}

const orderable = {
  name: organizations.name,
  created_at: organizations.createdAt,
  members_count: membersCount,
} as const

export type ListOrganizationsInput = Pagination & {
  /** Part of a name, slug or id. */
  query?: string | undefined
  /** Organizations of these users. */
  userIds?: string[] | undefined
  orderBy?: string | undefined
}

/** @throws {UsherError} `form_param_value_invalid` for an unknown order */
export async function listOrganizations(ctx: Ctx | Tx, input: ListOrganizationsInput): Promise<Page<Organization>> {
  const [, sign, name = ''] = (input.orderBy ?? '-created_at').match(/^([+-]?)(\w+)$/) ?? []
  if (!Object.hasOwn(orderable, name))
    throw new UsherError('form_param_value_invalid', 'Organizations cannot be ordered by that.', { param: 'order_by' })
  const column = orderable[name as keyof typeof orderable]
  const pattern = input.query && `%${input.query.replace(/[\\%_]/g, '\\$&')}%`
  const where = and(
    pattern
      ? or(
          ilike(organizations.name, pattern),
          ilike(organizations.slug, pattern),
          eq(organizations.id, input.query ?? ''),
        )
      : undefined,
    input.userIds?.length
      ? sql`exists (select 1 from ${memberships} where ${memberships.organizationId} = ${organizations.id} and ${inArray(memberships.userId, input.userIds)})`
      : undefined,
  )
  return transaction(ctx, async (tx) => {
    const [total] = await tx.db.select({ n: count() }).from(organizations).where(where)
    const data = await findOrganizations(tx, where, { ...input, order: sign === '-' ? desc(column) : asc(column) })
    return { data, totalCount: total?.n ?? 0 }
  })
}

/** Completes rows with their organizations and roles: three queries, however many rows. */
export async function withOrganizationAndRole(tx: Tx, rows: Membership[]): Promise<MembershipRecord[]> {
  if (rows.length === 0) return []
  const found = await findOrganizations(tx, inArray(organizations.id, [...new Set(rows.map((m) => m.organizationId))]))
  const roles = await findRolesByIds(tx, [...new Set(rows.map((m) => m.roleId))])
  return rows.flatMap((membership) => {
    const organization = found.find((o) => o.id === membership.organizationId)
    const role = roles.find((r) => r.id === membership.roleId)
    if (!organization || !role) return []
    const { id, key, name } = role
    return [{ ...membership, organization, role: { id, key, name, permissions: role.permissions.map((p) => p.key) } }]
  })
}

export async function findMembershipsOfUsers(tx: Tx, userIds: string[]): Promise<MembershipRecord[]> {
  if (userIds.length === 0) return []
  const rows = await tx.db
    .select()
    .from(memberships)
    .where(inArray(memberships.userId, userIds))
    .orderBy(asc(memberships.createdAt), memberships.id)
  return withOrganizationAndRole(tx, rows)
}

export async function findMembership(
  ctx: Ctx | Tx,
  { organizationId, userId }: { organizationId: string; userId: string },
): Promise<MembershipRecord | undefined> {
  return transaction(ctx, async (tx) => {
    const rows = await tx.db
      .select()
      .from(memberships)
      .where(and(eq(memberships.organizationId, organizationId), eq(memberships.userId, userId)))
    return (await withOrganizationAndRole(tx, rows))[0]
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getMembership(
  ctx: Ctx | Tx,
  input: { organizationId: string; userId: string },
): Promise<MembershipRecord> {
  const found = await findMembership(ctx, input)
  if (!found) throw new UsherError('resource_not_found', 'This person is not a member of the organization.')
  return found
}

export type ListMembershipsInput = Pagination & {
  organizationId?: string | undefined
  userIds?: string[] | undefined
  /** Keys of roles. */
  roles?: string[] | undefined
  /** Part of a name, username or address. */
  query?: string | undefined
  orderBy?: string | undefined
}

export async function listMemberships(ctx: Ctx | Tx, input: ListMembershipsInput): Promise<Page<MembershipRecord>> {
  const pattern = input.query && `%${input.query.replace(/[\\%_]/g, '\\$&')}%`
  const roleKeys = input.roles?.map((key) => sql`${key}`)
  const where = and(
    input.organizationId === undefined ? undefined : eq(memberships.organizationId, input.organizationId),
    input.userIds?.length ? inArray(memberships.userId, input.userIds) : undefined,
    roleKeys?.length
      ? sql`exists (select 1 from roles r where r.id = ${memberships.roleId} and r.key in (${sql.join(roleKeys, sql`, `)}))`
      : undefined,
    pattern
      ? sql`exists (select 1 from ${users} where ${users.id} = ${memberships.userId} and (${or(
          ilike(users.firstName, pattern),
          ilike(users.lastName, pattern),
          ilike(users.username, pattern),
          sql`exists (select 1 from ${emailAddresses} where ${emailAddresses.userId} = ${users.id} and ${ilike(emailAddresses.emailAddress, pattern)})`,
        )}))`
      : undefined,
  )
  const oldestFirst = input.orderBy === 'created_at' || input.orderBy === '+created_at'
  return transaction(ctx, async (tx) => {
    const [total] = await tx.db.select({ n: count() }).from(memberships).where(where)
    const rows = await tx.db
      .select()
      .from(memberships)
      .where(where)
      .orderBy(oldestFirst ? asc(memberships.createdAt) : desc(memberships.createdAt), memberships.id)
      .limit(input.limit)
      .offset(input.offset)
    return { data: await withOrganizationAndRole(tx, rows), totalCount: total?.n ?? 0 }
  })
}
