import { and, asc, count, desc, eq, inArray, type SQL, sql } from 'drizzle-orm'
import { contains } from '../../database/contains.ts'
import { prepared, type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { imageUrlOf } from '../../kernel/image-url.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import type { Grant } from '../access/index.ts'
import { roles } from '../access/tables.ts'
import { findMatches, isAnyOf, searchCondition } from '../users/index.ts'
import { type AccessColumns, accessColumns, readAccess } from './grants.ts'
import { memberships, organizations } from './tables.ts'

export type Organization = typeof organizations.$inferSelect & {
  membersCount: number
  pendingInvitationsCount: number
  /** Where the logo is served; null: there is none. */
  imageUrl: string | null
}
export type Membership = typeof memberships.$inferSelect

/** A membership with its organization and what it allows. */
export type MembershipRecord = Membership & {
  organization: Organization
  /** The primary role. */
  role: { id: string; key: string; name: string }
  /** All that counts: of every role and group and without one, less what belongs to a feature that is off. */
  permissions: string[]
  /** Where the permissions come from; the first is the primary role. */
  grants: Grant[]
  /** Slugs of the features that the organization has. */
  features: string[]
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
  ids?: string[] | undefined
  /** Ids in the application's own records. */
  externalIds?: string[] | undefined
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
  const where = and(
    input.query ? named(input.query) : undefined,
    input.ids?.length ? inArray(organizations.id, input.ids) : undefined,
    input.externalIds?.length ? inArray(organizations.externalId, input.externalIds) : undefined,
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

/** Organizations with a text in their name or slug, or with this id. */
function named(text: string): SQL {
  const found = sql`select organization_id from searchable_organizations where ${contains('document', text)}`
  return sql`${organizations.id} in (${text.startsWith('org_') ? sql`${found} union select ${text}` : found})`
}

/** Memberships with their organizations and all that they allow, in one statement however many there are. */
const readerOf = (which: SQL) =>
  prepared((db) =>
    db
      .select({
        membership: memberships,
        organization: organizations,
        membersCount,
        pendingInvitationsCount,
        role: { id: roles.id, key: roles.key, name: roles.name },
        ...accessColumns,
      })
      .from(memberships)
      .innerJoin(organizations, eq(organizations.id, memberships.organizationId))
      .innerJoin(roles, eq(roles.id, memberships.roleId))
      .where(which)
      .orderBy(asc(memberships.createdAt), memberships.id),
  )
const readers = {
  byId: readerOf(sql`${memberships.id} = any(${sql.placeholder('ids')}::text[])`),
  byUser: readerOf(sql`${memberships.userId} = any(${sql.placeholder('userIds')}::text[])`),
  byOrganizationAndUser: readerOf(
    sql`${memberships.organizationId} = ${sql.placeholder('organizationId')} and ${memberships.userId} = ${sql.placeholder('userId')}`,
  ),
}

type Row = AccessColumns & {
  membership: Membership
  organization: typeof organizations.$inferSelect
  membersCount: number
  pendingInvitationsCount: number
  role: { id: string; key: string; name: string }
}

function toRecord(tx: Tx, row: Row): MembershipRecord {
  const { membership, organization, membersCount, pendingInvitationsCount, role } = row
  const imageUrl = imageUrlOf(tx, organization.imageId)
  return {
    ...membership,
    organization: { ...organization, membersCount, pendingInvitationsCount, imageUrl },
    role,
    ...readAccess(row),
  }
}

/** Completes rows with their organizations and what they allow: one query, however many rows. */
export async function withOrganizationAndRole(tx: Tx, rows: Membership[]): Promise<MembershipRecord[]> {
  if (rows.length === 0) return []
  const found = await readers.byId(tx, { ids: textArray(rows.map((m) => m.id)) })
  const byId = new Map(found.map((row) => [row.membership.id, toRecord(tx, row)]))
  return rows.flatMap((row) => byId.get(row.id) ?? [])
}

/** Oldest first. */
export async function findMembershipsOfUsers(tx: Tx, userIds: readonly string[]): Promise<MembershipRecord[]> {
  if (userIds.length === 0) return []
  const found = await readers.byUser(tx, { userIds: textArray(userIds) })
  return found.map((row) => toRecord(tx, row))
}

export async function findMembership(
  ctx: Ctx | Tx,
  { organizationId, userId }: { organizationId: string; userId: string },
): Promise<MembershipRecord | undefined> {
  return transaction(ctx, async (tx) => {
    const [found] = await readers.byOrganizationAndUser(tx, { organizationId, userId })
    return found && toRecord(tx, found)
  })
}

/** What a membership allows, and nothing else of it: for those who ask often. */
export type MembershipAccess = Pick<MembershipRecord, 'organizationId' | 'role' | 'permissions' | 'features'>

const accessReader = prepared((db) =>
  db
    .select({ role: { id: roles.id, key: roles.key, name: roles.name }, ...accessColumns })
    .from(memberships)
    .innerJoin(roles, eq(roles.id, memberships.roleId))
    .where(
      sql`${memberships.organizationId} = ${sql.placeholder('organizationId')} and ${memberships.userId} = ${sql.placeholder('userId')}`,
    ),
)

export async function findMembershipAccess(
  tx: Tx,
  { organizationId, userId }: { organizationId: string; userId: string },
): Promise<MembershipAccess | undefined> {
  const [row] = await accessReader(tx, { organizationId, userId })
  if (!row) return undefined
  const { permissions, features } = readAccess(row)
  return { organizationId, role: row.role, permissions, features }
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
  const roleKeys = input.roles?.map((key) => sql`${key}`)
  const scope = and(
    input.organizationId === undefined ? undefined : eq(memberships.organizationId, input.organizationId),
    input.userIds?.length ? inArray(memberships.userId, input.userIds) : undefined,
    roleKeys?.length
      ? sql`exists (select 1 from roles r where r.id = ${memberships.roleId} and r.key in (${sql.join(roleKeys, sql`, `)}))`
      : undefined,
  )
  const oldestFirst = input.orderBy === 'created_at' || input.orderBy === '+created_at'
  return transaction(ctx, async (tx) => {
    const where = and(scope, input.query ? await calledBy(tx, input.query) : undefined)
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

/** As many people as are looked up one by one among the members of an organization. */
const fewPeople = 5_000

/** Memberships of people with a text in their name, username, address or number. */
async function calledBy(tx: Tx, text: string): Promise<SQL> {
  const found = await findMatches(tx, { query: text }, fewPeople)
  return found === 'many'
    ? sql`exists (select 1 from searchable_users s where s.user_id = ${memberships.userId} and ${searchCondition({ query: text })})`
    : isAnyOf(memberships.userId, found)
}
