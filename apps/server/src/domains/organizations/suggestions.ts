import { and, desc, eq, inArray, type SQL, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { refuseIfOff } from './domains.ts'
import { enroll } from './enrollment.ts'
import { openRequest } from './open-requests.ts'
import { findOrganizations, type Organization } from './queries.ts'
import { organizationSuggestions, organizations } from './tables.ts'

export type OrganizationSuggestion = typeof organizationSuggestions.$inferSelect
export type SuggestionRecord = OrganizationSuggestion & { organization: Organization }

export type ListSuggestionsInput = Pagination & { userId: string; status?: ('pending' | 'accepted')[] | undefined }

/** Organizations that a person may ask to join, or has asked to, newest first. */
export async function listSuggestions(ctx: Ctx | Tx, input: ListSuggestionsInput): Promise<Page<SuggestionRecord>> {
  if (!ctx.instance.settings.organizations.domains) return { data: [], totalCount: 0 }
  return transaction(ctx, async (tx) => {
    await enroll(tx, input.userId)
    const status = input.status?.length ? input.status : (['pending', 'accepted'] as const)
    const where = and(
      eq(organizationSuggestions.userId, input.userId),
      inArray(organizationSuggestions.status, [...status]),
      stillGrounded,
    )
    const data = await findSuggestions(tx, where, input)
    // A first page that is not full is all there is.
    const all = input.offset === 0 && data.length < input.limit
    return { data, totalCount: all ? data.length : await tx.db.$count(organizationSuggestions, where) }
  })
}

/**
 * The person is no member yet and still has a proven address at the domain, which still counts. An address can be
 * removed, and a domain lost, after the suggestion was made.
 */
const stillGrounded = sql`not exists (select 1 from memberships m
    where m.organization_id = organization_suggestions.organization_id and m.user_id = organization_suggestions.user_id)
  and exists (select 1 from organization_domains d
    join email_addresses e on e.instance_id = d.instance_id and e.domain = d.name and e.verified_at is not null
    where d.id = organization_suggestions.domain_id and e.user_id = organization_suggestions.user_id
      and (d.affiliation_verified_at is not null or d.ownership_verified_at is not null))`

/**
 * Asks to join the organization of a suggestion.
 *
 * @throws {UsherError} `organization_domains_not_enabled`, or `resource_not_found`: nobody's, somebody else's, accepted
 *   already or without ground by now
 */
export async function acceptSuggestion(
  ctx: Ctx | Tx,
  { suggestionId, userId }: { suggestionId: string; userId: string },
): Promise<SuggestionRecord> {
  return transaction(ctx, async (tx) => {
    refuseIfOff(tx)
    const [accepted] = await tx.db
      .update(organizationSuggestions)
      .set({ status: 'accepted', updatedAt: tx.now() })
      .where(
        and(
          eq(organizationSuggestions.id, suggestionId),
          eq(organizationSuggestions.userId, userId),
          eq(organizationSuggestions.status, 'pending'),
          stillGrounded,
        ),
      )
      .returning()
    if (!accepted) throw new UsherError('resource_not_found', 'There is no such suggestion.')
    await openRequest(tx, { organizationId: accepted.organizationId, userId })
    const [record] = await findSuggestions(tx, eq(organizationSuggestions.id, suggestionId))
    return record as SuggestionRecord
  })
}

/** Suggestions with their organizations: two queries, however many. */
async function findSuggestions(tx: Tx, where: SQL | undefined, page?: Pagination): Promise<SuggestionRecord[]> {
  const query = tx.db
    .select()
    .from(organizationSuggestions)
    .where(where)
    .orderBy(desc(organizationSuggestions.createdAt), organizationSuggestions.id)
    .$dynamic()
  const rows = await (page ? query.limit(page.limit).offset(page.offset) : query)
  if (rows.length === 0) return []
  const found = await findOrganizations(tx, inArray(organizations.id, [...new Set(rows.map((r) => r.organizationId))]))
  return rows.flatMap((suggestion) => {
    const organization = found.find((o) => o.id === suggestion.organizationId)
    return organization ? [{ ...suggestion, organization }] : []
  })
}
