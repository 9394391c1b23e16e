import { and, eq } from 'drizzle-orm'
import type { Metadata } from '../../database/columns.ts'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { acceptInvitation, findInvitationForTicket } from '../organizations/index.ts'
import { readActorToken, type SessionActor } from '../sessions/index.ts'
import { consumeOneTimeTokenById, findTicket, type OneTimeToken } from '../verifications/index.ts'
import { invitations } from './tables.ts'

/** What a link in an email stands for. Whoever holds an invitation's ticket can read its address's mail. */
export type Ticket = { token: OneTimeToken; organizationId: string | null; redirectUrl: string | null } & (
  | { kind: 'sign_in_token'; userId: string }
  | { kind: 'actor_token'; userId: string; actor: SessionActor; maximumLifetime: number }
  | { kind: 'organization_invitation' | 'invitation'; invitationId: string; emailAddress: string }
)

/**
 * Looks up a ticket that can still be used. It is not spent by this.
 *
 * @throws {UsherError} `ticket_invalid`, `ticket_expired` or `token_used`
 */
export async function getTicket(tx: Tx, value: unknown): Promise<Ticket> {
  const token = await findTicket(tx, value)
  const invalid = () => new UsherError('ticket_invalid', 'This ticket is not valid.', { param: 'ticket' })
  if (!token || token.revokedAt) throw invalid()
  if (token.consumedAt) throw new UsherError('token_used', 'This ticket was used already.', { param: 'ticket' })
  if (token.expiresAt <= tx.now())
    throw new UsherError('ticket_expired', 'This ticket has expired.', { param: 'ticket' })
  const text = (key: string) => (typeof token.payload[key] === 'string' ? (token.payload[key] as string) : null)
  if (token.kind === 'sign_in_token') {
    const organizationId = text('organization_id')
    return {
      kind: token.kind,
      token,
      userId: token.subjectId,
      organizationId,
      redirectUrl: text('redirect_url'),
    }
  }
  if (token.kind === 'actor_token') {
    const opened = { userId: token.subjectId, organizationId: null, redirectUrl: null }
    return { kind: token.kind, token, ...opened, ...readActorToken(token) }
  }
  const invitation = { token, invitationId: token.subjectId }
  if (token.kind === 'organization_invitation') {
    const found = await findInvitationForTicket(tx, String(value))
    if (!found) throw invalid()
    const { organizationId, emailAddress, redirectUrl } = found
    return { ...invitation, kind: token.kind, organizationId, emailAddress, redirectUrl }
  }
  const [found] = await tx.db
    .select()
    .from(invitations)
    .where(and(eq(invitations.id, token.subjectId), eq(invitations.status, 'pending')))
  if (!found) throw invalid()
  const { emailAddress, redirectUrl } = found
  return { ...invitation, kind: 'invitation', organizationId: null, emailAddress, redirectUrl }
}

/** What a spent ticket gave: a membership, or facts about the new user. */
export type SpentTicket = { organizationId: string | null; publicMetadata: Metadata }

/** Spends a ticket for a person and does what it promises them. @throws {UsherError} `token_used` and its like */
export async function spendTicket(tx: Tx, tokenId: string, userId: string): Promise<SpentTicket> {
  const token = await consumeOneTimeTokenById(tx, tokenId)
  if (token.kind === 'organization_invitation') {
    const { organizationId } = await acceptInvitation(tx, { invitationId: token.subjectId, userId })
    return { organizationId, publicMetadata: {} }
  }
  if (token.kind !== 'invitation') return { organizationId: null, publicMetadata: {} }
  const [accepted] = await tx.db
    .update(invitations)
    .set({ status: 'accepted', updatedAt: tx.now() })
    .where(and(eq(invitations.id, token.subjectId), eq(invitations.status, 'pending')))
    .returning()
  if (!accepted) throw new UsherError('ticket_invalid', 'This invitation is not open any more.', { param: 'ticket' })
  return { organizationId: null, publicMetadata: accepted.publicMetadata }
}
