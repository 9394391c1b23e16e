import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { type ClientCarrier, type NewClientToken, rotateClientToken } from './clients.ts'
import { getSession, type SessionRecord } from './queries.ts'
import { activeOrganizationOf, isSignedIn } from './session-status.ts'
import { clients, sessions } from './tables.ts'

/**
 * Notes a sign of life, makes the session its client's last active one and, when asked, changes its active
 * organization. A change of organization is a change of privilege: the client gets a new token.
 *
 * @param input.organization id or slug; null is the personal account; undefined leaves it as it is
 * @throws {UsherError} `resource_not_found`, `signed_out` or `organization_not_found_or_unauthorized`
 */
export async function touchSession(
  ctx: Ctx | Tx,
  input: { clientId: string; sessionId: string; organization?: string | null; carrier: ClientCarrier },
): Promise<{ session: SessionRecord; issued: NewClientToken | undefined }> {
  return transaction(ctx, async (tx) => {
    const session = await getSession(tx, input.sessionId)
    if (session.clientId !== input.clientId) throw new UsherError('resource_not_found', 'There is no such session.')
    const now = tx.now()
    if (!isSignedIn(session, now)) throw new UsherError('signed_out', 'This session has ended.')
    const before = activeOrganizationOf(session)
    const organizationId = targetOrganization(tx, session, input.organization)
    const changes = organizationId !== before
    const abandonAt = new Date(now.getTime() + tx.instance.settings.session.inactivityTimeout * 1000)
    await tx.db
      .update(sessions)
      .set({
        lastActiveAt: now,
        abandonAt,
        lastActiveOrganizationId: organizationId,
        ...(changes && { updatedAt: now }),
      })
      .where(eq(sessions.id, session.id))
    await tx.db.update(clients).set({ lastActiveSessionId: session.id }).where(eq(clients.id, input.clientId))
    const data = { session_id: session.id, user_id: session.userId, client_id: input.clientId }
    emit(tx, { type: 'session.touched', subject: session.id, data })
    const { clientId, carrier } = input
    const issued = changes ? await rotateClientToken(tx, { clientId, carrier, grace: true }) : undefined
    return { session: { ...session, lastActiveAt: now, abandonAt, lastActiveOrganizationId: organizationId }, issued }
  })
}

function targetOrganization(tx: Tx, session: SessionRecord, wanted: string | null | undefined): string | null {
  const current = activeOrganizationOf(session)
  if (wanted === undefined) return current
  // Where an organization must be active there is no personal account to go to.
  if (wanted === null) return tx.instance.settings.organizations.forceSelection ? current : null
  const membership = session.memberships.find((m) => m.organizationId === wanted || m.organization.slug === wanted)
  if (!membership)
    throw new UsherError('organization_not_found_or_unauthorized', 'You are not a member of this organization.', {
      param: 'active_organization_id',
    })
  return membership.organizationId
}

/** Writes down a sign of life that needed no transaction of its own. */
export async function noteActivity(ctx: Ctx, sessionId: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    const now = tx.now()
    const abandonAt = new Date(now.getTime() + tx.instance.settings.session.inactivityTimeout * 1000)
    await tx.db
      .update(sessions)
      .set({ lastActiveAt: now, abandonAt })
      .where(and(eq(sessions.id, sessionId), eq(sessions.status, 'active')))
  })
}
