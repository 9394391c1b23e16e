import { and, asc, count, desc, eq, inArray, type SQL, sql } from 'drizzle-orm'
import { contains } from '../../database/contains.ts'
import { prepared, type Tx, textArray, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { imageUrlOf } from '../../kernel/image-url.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import type { Grant } from '../access/index.ts'
import { roles } from '../access/tables.ts'
import {
  findMatches,
  isAnyOf,
  searchCondition,
  type UserFilter,
  type UserSearch,
  userCondition,
} from '../users/index.ts'
import { users } from '../users/tables.ts'
import { type AccessColumns, accessColumns, readAccess } from './grants.ts'
import { memberships, organizations } from './tables.ts'

export type Organization = typeof organizations.$inferSelect & {
  membersCount: number
  pendingInvitationsCount: number
  /** Where the logo is served; null: there is none. */
  imageUrl: string | null
  /** Key of the roles that it chooses from. */
  roleSetKey: string
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
const roleSetKey = sql<string>`(select rs.key from role_sets rs
  where case when organizations.role_set_id is null then rs.type = 'initial' else rs.id = organizations.role_set_id end)`

const counted = sql`(select organization_id, count(*) as members from memberships group by organization_id) counted`

/** Organizations with their numbers of members and open invitations: one query, however many. */
export async function findOrganizations(
  tx: Tx,
  where: SQL | undefined,
  page?: Pagination & { order?: SQL },
  byMembers = false,
): Promise<Organization[]> {
  const query = tx.db
    .select({ organization: organizations, membersCount, pendingInvitationsCount, roleSetKey })
    .from(organizations)
    .where(where)
    .orderBy(page?.order ?? desc(organizations.createdAt), organizations.id)
    .$dynamic()
  // To put them in order all must be counted, which is faster at once than one by one.
  if (byMembers) query.leftJoin(counted, sql`counted.organization_id = organizations.id`)
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
  members_count: sql`coalesce(counted.members, 0)`,
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
    const order = sign === '-' ? desc(column) : asc(column)
    const data = await findOrganizations(tx, where, { ...input, order }, name === 'members_count')
    return { data, totalCount: total?.n ?? 0 }
  })
}

/** Organizations with a text in their name or slug, or with this id. */
function named(text: string): SQL {
  const found = sql`select organization_id from searchable_organizations where ${contains('document', text)}`
  // An array, because of a table and a view of it the planner makes one, and row-level security is before the index.
  return sql`${organizations.id} = any(array(${text.startsWith('org_') ? sql`${found} union select ${text}` : found}))`
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
        roleSetKey,
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
  roleSetKey: string
  role: { id: string; key: string; name: string }
}

function toRecord(tx: Tx, row: Row): MembershipRecord {
  const { membership, organization, membersCount, pendingInvitationsCount, roleSetKey, role } = row
  const imageUrl = imageUrlOf(tx, organization.imageId)
  return {
    ...membership,
    organization: { ...organization, membersCount, pendingInvitationsCount, roleSetKey, imageUrl },
    role,
    ...readAccess(row),
  }
}

/** As {@link readerOf}, without the organizations: in a list of members it is the same one in every row. */
const bareReader = prepared((db) =>
  db
    .select({ membership: memberships, role: { id: roles.id, key: roles.key, name: roles.name }, ...accessColumns })
    .from(memberships)
    .innerJoin(roles, eq(roles.id, memberships.roleId))
    .where(sql`${memberships.id} = any(${sql.placeholder('ids')}::text[])`),
)

/** Completes rows with their organizations and what they allow: two queries, however many rows. */
export async function withOrganizationAndRole(
  tx: Tx,
  rows: readonly Pick<Membership, 'id' | 'organizationId'>[],
): Promise<MembershipRecord[]> {
  if (rows.length === 0) return []
  const organizationIds = [...new Set(rows.map((m) => m.organizationId))]
  const found = await bareReader(tx, { ids: textArray(rows.map((m) => m.id)) })
  const places = await findOrganizations(tx, inArray(organizations.id, organizationIds))
  const byId = new Map(found.map((row) => [row.membership.id, row]))
  const placesById = new Map(places.map((place) => [place.id, place]))
  return rows.flatMap(({ id, organizationId }) => {
    const [row, organization] = [byId.get(id), placesById.get(organizationId)]
    return row && organization ? [{ ...row.membership, organization, role: row.role, ...readAccess(row) }] : []
  })
}

/** Oldest first. */
export async function findMembershipsOfUsers(tx: Tx, userIds: readonly string[]): Promise<MembershipRecord[]> {
  if (userIds.length === 0) return []
  const found = await readers.byUser(tx, { userIds: textArray(userIds) })
  return found.map((row) => toRecord(tx, row))
}

/** A membership with its organization and all that it allows. */
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

/** As {@link findMembership}, without the organization and the grants. */
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
  /** Parts of what the members are called, beside `query`. */
  search?: UserSearch | undefined
  /** What the members have to be like. */
  people?: UserFilter | undefined
  /** A key of {@link memberOrders} with `+`, `-` or nothing before it. */
  orderBy?: string | undefined
}

const ofMember = (column: string) =>
  sql`(select ${sql.raw(`u.${column}`)} from users u where u.id = ${memberships.userId})`
const memberOrders = {
  created_at: sql`${memberships.createdAt}`,
  first_name: ofMember('first_name'),
  last_name: ofMember('last_name'),
  username: ofMember('username'),
  email_address: sql`(select e.email_address from users u join email_addresses e on e.id = u.primary_email_address_id
    where u.id = ${memberships.userId})`,
  phone_number: sql`(select p.phone_number from users u join phone_numbers p on p.id = u.primary_phone_number_id
    where u.id = ${memberships.userId})`,
} as const

/** Whoever has no value for it comes last. @throws {UsherError} `form_param_value_invalid` */
function memberOrder(orderBy = '-created_at'): SQL {
  const [, sign, name = ''] = orderBy.match(/^([+-]?)(\w+)$/) ?? []
  if (!Object.hasOwn(memberOrders, name))
    throw new UsherError('form_param_value_invalid', 'Memberships cannot be ordered by that.', { param: 'order_by' })
  const column = memberOrders[name as keyof typeof memberOrders]
  // As the index is: a different place for the nulls that there are not would have it unused.
  if (name === 'created_at') return sign === '-' ? desc(memberships.createdAt) : asc(memberships.createdAt)
  return sign === '-' ? sql`${column} desc nulls last` : sql`${column} asc nulls last`
}

/** Memberships of one organization or of all, newest first. @throws {UsherError} `form_param_value_invalid` (the order) */
export async function listMemberships(ctx: Ctx | Tx, input: ListMembershipsInput): Promise<Page<MembershipRecord>> {
  const roleKeys = input.roles?.map((key) => sql`${key}`)
  const scope = and(
    input.organizationId === undefined ? undefined : eq(memberships.organizationId, input.organizationId),
    input.userIds?.length ? inArray(memberships.userId, input.userIds) : undefined,
    roleKeys?.length
      ? sql`exists (select 1 from roles r where r.id = ${memberships.roleId} and r.key in (${sql.join(roleKeys, sql`, `)}))`
      : undefined,
    input.people && membersAre(input.people),
  )
  const order = memberOrder(input.orderBy)
  const search = { ...input.search, ...(input.query && { query: input.query }) }
  const searches = searchCondition(search) !== undefined
  return transaction(ctx, async (tx) => {
    const where = and(scope, searches ? await calledBy(tx, search, scope) : undefined)
    // Counted along: what takes time in a search is finding, not counting.
    const rows = await tx.db
      .select({
        id: memberships.id,
        organizationId: memberships.organizationId,
        ...(searches && { total: sql<number>`count(*) over ()::int` }),
      })
      .from(memberships)
      .where(where)
      .orderBy(order, memberships.id)
      .limit(input.limit)
      .offset(input.offset)
    const totalCount = rows[0]?.total ?? (await tx.db.$count(memberships, where))
    return { data: await withOrganizationAndRole(tx, rows), totalCount }
  })
}

/** As many members as are looked at one by one, and as many people as are looked for among members. */
const few = { members: 2_000, people: 5_000 }

function membersAre(people: UserFilter): SQL | undefined {
  const condition = userCondition(people)
  return condition && sql`exists (select 1 from ${users} where ${users.id} = ${memberships.userId} and ${condition})`
}

/** Memberships of people with texts in their names, usernames, addresses or numbers. */
async function calledBy(tx: Tx, search: UserSearch, scope: SQL | undefined): Promise<SQL> {
  const condition = searchCondition(search)
  // Most organizations are small: a subquery in the selection is run for each of their members, whatever the planner
  // thinks of the frequency of words.
  if ((await tx.db.$count(memberships, scope)) <= few.members)
    return sql`(select ${condition} from searchable_users s where s.user_id = ${memberships.userId})`
  const found = await findMatches(tx, search, few.people)
  return found === 'many'
    ? sql`${memberships.userId} in (select user_id from searchable_users where ${condition})`
    : isAnyOf(memberships.userId, found)
}
