import { and, eq, inArray, isNotNull, type SQL, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { newId } from '../../kernel/ids.ts'
import { findRolesForNew } from '../access/index.ts'
import { emit } from '../events/index.ts'
import { expireInvitations } from './expire-invitations.ts'
import { settleRequest } from './open-requests.ts'
import { organizationInvitations, organizationSuggestions } from './tables.ts'

/** Whose domains count: of one person, or the people of one domain. */
type Scope = { userId: string } | { domainId: string }

/** People brought to an organization by one statement. */
const batch = 500
/** Days for which an invitation that a domain brought about stays open; then there is a new one. */
const invitationDays = 30

/**
 * Suggests and invites people to the organizations whose verified domains they have a proven address at, as each domain
 * says. Done when an address is proven and when a domain changes, and again before somebody reads their lists, for
 * people who came by an import. What is there already stays as it is.
 */
export async function enrollPeopleOf(tx: Tx, scope: Scope): Promise<void> {
  const { enabled, domains, enrollmentModes } = tx.instance.settings.organizations
  if (!enabled || !domains) return
  // A mode that was switched off since some domain chose it brings nobody any more.
  if (enrollmentModes.includes('automatic_suggestion')) while (await suggest(tx, scope));
  if (enrollmentModes.includes('automatic_invitation')) while (await invite(tx, scope));
}

/** As {@link enrollPeopleOf}, for one person. */
export async function enroll(ctx: Ctx | Tx, userId: string): Promise<void> {
  if (ctx.instance.settings.organizations.domains) await transaction(ctx, (tx) => enrollPeopleOf(tx, { userId }))
}

type Match = { organization_id: string; domain_id: string; user_id: string; email_address: string }

/**
 * Verified domains of a mode with the proven addresses at them, of people who are no members: one row for each person and
 * organization. What the rows stand on is held until the transaction ends: whoever is being deleted, with their
 * organization or by themselves, is waited for and then left out.
 *
 * @returns also whether there may be more
 */
async function findMatches(
  tx: Tx,
  scope: Scope,
  mode: string,
  condition: SQL,
): Promise<{ found: Match[]; full: boolean }> {
  const of = 'userId' in scope ? sql`e.user_id = ${scope.userId}` : sql`d.id = ${scope.domainId}`
  // Organizations first, as everywhere: one that is being deleted has its row and waits for those that hang on it.
  const rows = await tx.db.execute<Match>(sql`
    select d.organization_id, d.id as domain_id, e.user_id, e.email_address
    from organization_domains d
    join organizations o on o.id = d.organization_id
    join email_addresses e on e.instance_id = d.instance_id and e.domain = d.name and e.verified_at is not null
    join users u on u.id = e.user_id
    where ${of} and d.enrollment_mode = ${mode}
      and (d.affiliation_verified_at is not null or d.ownership_verified_at is not null)
      and not exists (select 1 from memberships m where m.organization_id = d.organization_id and m.user_id = e.user_id)
      and ${condition}
    order by d.organization_id, e.user_id limit ${batch} for key share of o, d, u`)
  const found = ([...rows] as Match[]).filter(
    (row, i) => rows[i - 1]?.organization_id !== row.organization_id || rows[i - 1]?.user_id !== row.user_id,
  )
  return { found, full: rows.length === batch }
}

/** @returns whether there may be more */
async function suggest(tx: Tx, scope: Scope): Promise<boolean> {
  const unknown = sql`not exists (select 1 from organization_suggestions s
      where s.organization_id = d.organization_id and s.user_id = e.user_id)
    and not exists (select 1 from membership_requests r
      where r.organization_id = d.organization_id and r.user_id = e.user_id and r.status = 'pending')`
  const { found, full } = await findMatches(tx, scope, 'automatic_suggestion', unknown)
  if (found.length === 0) return false
  const now = tx.now()
  await tx.db
    .insert(organizationSuggestions)
    .values(
      found.map((row) => ({
        id: newId('organizationSuggestion'),
        instanceId: tx.instance.id,
        organizationId: row.organization_id,
        userId: row.user_id,
        domainId: row.domain_id,
        status: 'pending' as const,
        createdAt: now,
        updatedAt: now,
      })),
    )
    .onConflictDoNothing()
  return full
}

/** @returns whether there may be more */
async function invite(tx: Tx, scope: Scope): Promise<boolean> {
  const now = tx.now()
  // An invitation that was taken back is not made again, and one at a time is enough for a person.
  const uninvited = sql`not exists (select 1 from organization_suggestions s
      where s.organization_id = d.organization_id and s.user_id = e.user_id and s.status = 'withdrawn')
    and not exists (select 1 from organization_invitations i
      where i.organization_id = d.organization_id and i.email_address = e.email_address
        and i.status = 'revoked' and i.domain_id = d.id)
    and not exists (select 1 from organization_invitations i join email_addresses a on a.email_address = i.email_address
      where i.organization_id = d.organization_id and i.status = 'pending' and i.expires_at > ${now.toISOString()}::timestamptz
        and a.user_id = e.user_id)`
  const { found, full } = await findMatches(tx, scope, 'automatic_invitation', uninvited)
  if (found.length === 0) return false
  // Those that are over would stand in the way of new ones.
  const addresses = found.map((row) => row.email_address)
  await expireInvitations(tx, inArray(organizationInvitations.emailAddress, addresses))
  const roles = await findRolesForNew(tx, [...new Set(found.map((row) => row.organization_id))], 'member')
  // Nobody's sign-up fails because an organization has no role for whoever comes by its domain.
  const invitable = found.filter((row) => roles.has(row.organization_id))
  if (invitable.length === 0) return false
  const made = await tx.db
    .insert(organizationInvitations)
    .values(
      invitable.map((row) => ({
        id: newId('organizationInvitation'),
        instanceId: tx.instance.id,
        organizationId: row.organization_id,
        emailAddress: row.email_address,
        roleId: roles.get(row.organization_id)?.id ?? '',
        status: 'pending' as const,
        domainId: row.domain_id,
        createdAt: now,
        updatedAt: now,
        expiresAt: new Date(now.getTime() + invitationDays * 24 * 3600_000),
      })),
    )
    .onConflictDoNothing()
    .returning(named)
  for (const { id, organizationId, emailAddress } of made)
    emit(tx, {
      type: 'organizationInvitation.created',
      subject: id,
      data: { organization_id: organizationId, email_address: emailAddress, role: roles.get(organizationId)?.key },
    })
  // Those that could not be made would be found again and again.
  return full && made.length > 0
}

/** Takes back what a domain has offered and nobody has taken. Its row is locked by the caller. */
export async function withdrawOffers(tx: Tx, domainId: string): Promise<void> {
  // In the order in which somebody who accepts meets them.
  await revokeInvitations(tx, eq(organizationInvitations.domainId, domainId))
  await tx.db
    .delete(organizationSuggestions)
    .where(and(eq(organizationSuggestions.domainId, domainId), eq(organizationSuggestions.status, 'pending')))
}

/** Revokes what is open of some invitations, without asking who may. Their tickets are dead with them. */
export async function revokeInvitations(tx: Tx, where: SQL): Promise<void> {
  const revoked = await tx.db
    .update(organizationInvitations)
    .set({ status: 'revoked', updatedAt: tx.now() })
    .where(and(where, eq(organizationInvitations.status, 'pending')))
    .returning(named)
  for (const { id, organizationId, emailAddress } of revoked)
    emit(tx, {
      type: 'organizationInvitation.revoked',
      subject: id,
      data: { organization_id: organizationId, email_address: emailAddress },
    })
}

/** What an event says of an invitation. */
const named = {
  id: organizationInvitations.id,
  organizationId: organizationInvitations.organizationId,
  emailAddress: organizationInvitations.emailAddress,
}

const atAddressOf = (userId: string) =>
  sql`${organizationInvitations.emailAddress} in (select e.email_address from email_addresses e
    where e.user_id = ${userId} and e.verified_at is not null)`

/** Ends what domains have offered to somebody who has become a member, by whatever way. */
export async function settleOffers(
  tx: Tx,
  { organizationId, userId }: { organizationId: string; userId: string },
): Promise<void> {
  if (!tx.instance.settings.organizations.domains) return
  await revokeInvitations(
    tx,
    sql`${organizationInvitations.organizationId} = ${organizationId} and ${organizationInvitations.domainId} is not null
      and ${atAddressOf(userId)}`,
  )
  await tx.db
    .delete(organizationSuggestions)
    .where(and(eq(organizationSuggestions.organizationId, organizationId), eq(organizationSuggestions.userId, userId)))
  await settleRequest(tx, { organizationId, userId })
}

/**
 * Remembers that somebody sent a person away: no domain brings them back, and what one had invited them by is taken back
 * with it, so that a new account with the same address brings nothing either.
 */
export async function rememberSentAway(
  tx: Tx,
  { organizationId, userId }: { organizationId: string; userId: string },
): Promise<void> {
  const now = tx.now()
  await tx.db
    .update(organizationInvitations)
    .set({ status: 'revoked', updatedAt: now })
    .where(
      and(
        eq(organizationInvitations.organizationId, organizationId),
        eq(organizationInvitations.status, 'accepted'),
        isNotNull(organizationInvitations.domainId),
        atAddressOf(userId),
      ),
    )
  await tx.db
    .insert(organizationSuggestions)
    .values({
      id: newId('organizationSuggestion'),
      instanceId: tx.instance.id,
      organizationId,
      userId,
      status: 'withdrawn',
      createdAt: now,
      updatedAt: now,
    })
    .onConflictDoUpdate({
      target: [organizationSuggestions.organizationId, organizationSuggestions.userId],
      set: { status: 'withdrawn', domainId: null, updatedAt: now },
    })
}
