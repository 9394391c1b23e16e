import { and, count, desc, eq, gt, inArray, type SQL } from 'drizzle-orm'
import { type Metadata, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { findRolesByIds, type RoleRecord } from '../access/index.ts'
import { emit } from '../events/index.ts'
import { queueEmail } from '../messaging/index.ts'
import { findUserByEmail, findUsers, getUser } from '../users/index.ts'
import { createOneTimeToken, findOneTimeToken, parseEmailAddress, revokeTokensOf } from '../verifications/index.ts'
import { expireInvitations } from './expire-invitations.ts'
import { insertMembership } from './manage-memberships.ts'
import {
  findMembership,
  findOrganizations,
  getMembership,
  type MembershipRecord,
  type Organization,
} from './queries.ts'
import { requirePermission } from './require-permission.ts'
import { getGrantableRole } from './role-choice.ts'
import { freeSeats, isFull, lockOrganization, quotaExceeded } from './seats.ts'
import { organizationInvitations, organizations } from './tables.ts'

export type OrganizationInvitation = typeof organizationInvitations.$inferSelect
export type InvitationRecord = OrganizationInvitation & {
  organization: Organization
  role: { key: string; name: string }
}

/** Days for which an invitation stays open. */
const defaultDays = 30

export type InviteInput = {
  organizationId: string
  emailAddress: unknown
  role: unknown
  redirectUrl?: string | null | undefined
  inviterUserId?: string | null | undefined
  publicMetadata?: Metadata | undefined
  privateMetadata?: Metadata | undefined
  expiresInDays?: number | undefined
  notify?: boolean | undefined
  /** Where the link in the email leads: the configured origin, or the proxy's. Never a request's `Host`. */
  publicUrl: string
}

/**
 * Invites addresses to an organization and queues the emails: all of them or none. An expired invitation is replaced.
 *
 * @returns the open invitations with the links that were mailed
 * @throws {UsherError} `forbidden`, `form_param_format_invalid`, `form_param_value_invalid` (role),
 *   `already_a_member_in_organization`, `duplicate_record` or `organization_membership_quota_exceeded`
 */
export async function inviteMembers(
  ctx: Ctx | Tx,
  inputs: InviteInput[],
): Promise<(InvitationRecord & { url: string })[]> {
  return transaction(ctx, async (tx) => {
    const made: { id: string; url: string }[] = []
    for (const input of inputs) made.push(await inviteMember(tx, input))
    const records = await findInvitations(
      tx,
      inArray(
        organizationInvitations.id,
        made.map((m) => m.id),
      ),
    )
    return made.flatMap(({ id, url }) => {
      const record = records.find((r) => r.id === id)
      return record ? [{ ...record, url }] : []
    })
  })
}

async function inviteMember(tx: Tx, input: InviteInput): Promise<{ id: string; url: string }> {
  const caller = await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
  const emailAddress = parseEmailAddress(input.emailAddress)
  const organization = await lockOrganization(tx, input.organizationId)
  const role = await getGrantableRole(tx, organization.id, input.role, caller)
  const existing = await findUserByEmail(tx, emailAddress)
  if (existing && (await findMembership(tx, { organizationId: organization.id, userId: existing.id })))
    throw new UsherError('already_a_member_in_organization', 'This person is a member already.', {
      longMessage: `${emailAddress} is already a member of the organization.`,
      param: 'email_address',
    })
  if ((await freeSeats(tx, organization)) < 1) throw quotaExceeded()

  const now = tx.now()
  await expireInvitations(
    tx,
    and(
      eq(organizationInvitations.organizationId, organization.id),
      eq(organizationInvitations.emailAddress, emailAddress),
    ),
  )
  const id = newId('organizationInvitation')
  const inviterUserId = tx.actor.type === 'user' ? tx.actor.userId : (input.inviterUserId ?? null)
  const inviter = inviterUserId ? await getUser(tx, inviterUserId) : undefined
  const expiresAt = new Date(now.getTime() + (input.expiresInDays ?? defaultDays) * 24 * 3600_000)
  try {
    await tx.db.insert(organizationInvitations).values({
      id,
      instanceId: tx.instance.id,
      organizationId: organization.id,
      emailAddress,
      roleId: role.id,
      status: 'pending',
      inviterUserId,
      redirectUrl: input.redirectUrl ?? null,
      publicMetadata: input.publicMetadata ?? {},
      privateMetadata: input.privateMetadata ?? {},
      createdAt: now,
      updatedAt: now,
      expiresAt,
    })
  } catch (error) {
    if (!isUniqueViolation(error, 'organization_invitations_open')) throw error
    throw new UsherError('duplicate_record', 'There is an open invitation for this address.', {
      meta: { email_addresses: [emailAddress] },
    })
  }
  const { token } = await createOneTimeToken(tx, { kind: 'organization_invitation', subjectId: id, expiresAt })
  const url = `${input.publicUrl}/v1/tickets/accept?ticket=${token}`
  if (input.notify !== false) {
    const inviterName = [inviter?.firstName, inviter?.lastName].filter(Boolean).join(' ') || null
    await queueEmail(tx, {
      template: 'organization_invitation',
      to: emailAddress,
      data: { organizationName: organization.name, inviterName, url },
      expiresAt,
    })
  }
  emit(tx, {
    type: 'organizationInvitation.created',
    subject: id,
    data: { organization_id: organization.id, email_address: emailAddress, role: role.key },
  })
  return { id, url }
}

/** Takes an open invitation back; its link is dead. @throws {UsherError} `forbidden` or `resource_not_found` */
export async function revokeOrganizationInvitation(
  ctx: Ctx | Tx,
  input: { organizationId: string; invitationId: string },
): Promise<InvitationRecord> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_memberships:manage')
    // In the order in which an invitation is accepted: tickets first. Undone if there is nothing to revoke.
    await getInvitation(tx, input)
    await revokeTokensOf(tx, 'organization_invitation', input.invitationId)
    const [revoked] = await tx.db
      .update(organizationInvitations)
      .set({ status: 'revoked', updatedAt: tx.now() })
      .where(
        and(
          eq(organizationInvitations.id, input.invitationId),
          eq(organizationInvitations.organizationId, input.organizationId),
          eq(organizationInvitations.status, 'pending'),
        ),
      )
      .returning()
    if (!revoked) throw new UsherError('resource_not_found', 'There is no open invitation with this id.')
    emit(tx, {
      type: 'organizationInvitation.revoked',
      subject: revoked.id,
      data: { organization_id: input.organizationId, email_address: revoked.emailAddress },
    })
    return getInvitation(tx, input)
  })
}

/**
 * Makes the invited person a member. Only who has proven the invited address can be that person.
 *
 * @throws {UsherError} `resource_not_found` (not open any more), `forbidden` (another address) or
 *   `organization_membership_quota_exceeded`
 */
export async function acceptInvitation(
  ctx: Ctx | Tx,
  { invitationId, userId }: { invitationId: string; userId: string },
): Promise<MembershipRecord> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const [invitation] = await tx.db
      .select()
      .from(organizationInvitations)
      .where(eq(organizationInvitations.id, invitationId))
    if (!invitation) throw notOpen()
    // Rows are locked in one order everywhere, tickets, organization, invitation: whoever comes by the link has locked
    // the ticket already, and would otherwise wait for this call while this call waits for them.
    await revokeTokensOf(tx, 'organization_invitation', invitationId)
    const organization = await lockOrganization(tx, invitation.organizationId)
    const [user] = await findUsers(tx, [userId])
    const owns = user?.emailAddresses.some((e) => e.verifiedAt !== null && e.emailAddress === invitation.emailAddress)
    if (!owns) throw new UsherError('forbidden', 'This invitation is for another email address.')
    const [accepted] = await tx.db
      .update(organizationInvitations)
      .set({ status: 'accepted', updatedAt: now })
      .where(
        and(
          eq(organizationInvitations.id, invitationId),
          eq(organizationInvitations.status, 'pending'),
          gt(organizationInvitations.expiresAt, now),
        ),
      )
      .returning()
    if (!accepted) throw notOpen()
    const { organizationId, roleId, publicMetadata, privateMetadata } = accepted
    const [role] = await findRolesByIds(tx, [roleId])
    const known = await findMembership(tx, { organizationId, userId })
    if (!known) {
      // Somebody's invitation held a seat, but the limit may have been lowered since; a domain's held none.
      const full = accepted.domainId ? (await freeSeats(tx, organization)) < 1 : await isFull(tx, organization)
      if (full) throw quotaExceeded()
      await insertMembership(tx, {
        organizationId,
        userId,
        roleId,
        roleKey: role?.key ?? '',
        roleSource: accepted.domainId ? 'domain' : 'direct',
        publicMetadata,
        privateMetadata,
      })
    }
    emit(tx, {
      type: 'organizationInvitation.accepted',
      subject: accepted.id,
      data: { organization_id: organizationId, email_address: accepted.emailAddress, user_id: userId },
    })
    return getMembership(tx, { organizationId, userId })
  })
}

const notOpen = () => new UsherError('resource_not_found', 'This invitation is not open any more.')

/** The open invitation behind the link of an email. */
export async function findInvitationForTicket(tx: Tx, token: string): Promise<InvitationRecord | undefined> {
  const ticket = await findOneTimeToken(tx, 'organization_invitation', token)
  if (!ticket) return undefined
  const open = and(
    eq(organizationInvitations.id, ticket.subjectId),
    eq(organizationInvitations.status, 'pending'),
    gt(organizationInvitations.expiresAt, tx.now()),
  )
  return (await findInvitations(tx, open))[0]
}

/** @throws {UsherError} `resource_not_found` */
export async function getInvitation(
  ctx: Ctx | Tx,
  { organizationId, invitationId }: { organizationId: string; invitationId: string },
): Promise<InvitationRecord> {
  const where = and(
    eq(organizationInvitations.id, invitationId),
    eq(organizationInvitations.organizationId, organizationId),
  )
  const [found] = await transaction(ctx, (tx) => findInvitations(tx, where))
  if (!found) throw new UsherError('resource_not_found', 'There is no such invitation.')
  return found
}

export type ListInvitationsInput = Pagination & {
  organizationId?: string | undefined
  status?: OrganizationInvitation['status'][] | undefined
  /** Invitations to any of these addresses. */
  emailAddresses?: string[] | undefined
}

/** Invitations, newest first. */
export async function listOrganizationInvitations(
  ctx: Ctx | Tx,
  input: ListInvitationsInput,
): Promise<Page<InvitationRecord>> {
  return transaction(ctx, async (tx) => {
    const scope = and(
      input.organizationId === undefined ? undefined : eq(organizationInvitations.organizationId, input.organizationId),
      input.emailAddresses === undefined
        ? undefined
        : inArray(organizationInvitations.emailAddress, input.emailAddresses),
    )
    await expireInvitations(tx, scope)
    const where = and(scope, input.status?.length ? inArray(organizationInvitations.status, input.status) : undefined)
    const [total] = await tx.db.select({ n: count() }).from(organizationInvitations).where(where)
    return { data: await findInvitations(tx, where, input), totalCount: total?.n ?? 0 }
  })
}

/** Invitations with organization and role: three queries, however many rows. */
export async function findInvitations(tx: Tx, where: SQL | undefined, page?: Pagination): Promise<InvitationRecord[]> {
  const query = tx.db
    .select()
    .from(organizationInvitations)
    .where(where)
    .orderBy(desc(organizationInvitations.createdAt), organizationInvitations.id)
    .$dynamic()
  const rows = await (page ? query.limit(page.limit).offset(page.offset) : query)
  if (rows.length === 0) return []
  const found = await findOrganizations(tx, inArray(organizations.id, [...new Set(rows.map((r) => r.organizationId))]))
  const roles: RoleRecord[] = await findRolesByIds(tx, [...new Set(rows.map((r) => r.roleId))])
  return rows.flatMap((invitation) => {
    const organization = found.find((o) => o.id === invitation.organizationId)
    const role = roles.find((r) => r.id === invitation.roleId)
    return organization && role ? [{ ...invitation, organization, role: { key: role.key, name: role.name } }] : []
  })
}
