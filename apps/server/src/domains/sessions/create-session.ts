import { and, eq, inArray } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { findMembershipsOfUsers } from '../organizations/index.ts'
import { getUser, noteSignIn, refuseLocked } from '../users/index.ts'
import type { SessionActor } from './actor-tokens.ts'
import { type ClientCarrier, type NewClientToken, rotateClientToken } from './clients.ts'
import { rememberDevice } from './devices.ts'
import { closeSessions } from './end-session.ts'
import type { Session } from './queries.ts'
import { clients, sessions } from './tables.ts'

/** The browser that asks, as its face identified it. */
export type Browser = {
  clientId: string
  carrier: ClientCarrier
  userAgent: string | null
  ipAddress: string | null
}

export type CreateSessionInput = Partial<Omit<Browser, 'clientId'>> & {
  clientId: string
  userId: string
  /** How the person proved who they are; shown to them at their next sign-in. */
  strategy: string
  /** Organization that is active from the start; it must be one of the person's. */
  organizationId?: string | null
  actor?: SessionActor | null
  /** When a second factor was shown, if one was. */
  secondFactorAt?: Date
  /** Seconds that the session may live at most; the instance's limit holds as well. */
  maximumLifetime?: number
}

/**
 * Signs a person in on a client and gives the client a new token. In single-session instances the session takes the
 * place of the one that was there. Without a `carrier` nobody waits for a client token (the server API made it).
 *
 * @throws {UsherError} `user_banned` or `user_locked`
 */
export async function createSession(
  tx: Tx,
  input: CreateSessionInput,
): Promise<{ session: Session; issued: NewClientToken | undefined }> {
  const user = await getUser(tx, input.userId)
  const now = tx.now()
  if (user.banned) throw new UsherError('user_banned', 'This account is banned.')
  refuseLocked(user, now)
  const mine = and(eq(sessions.clientId, input.clientId), inArray(sessions.status, ['active', 'pending']))
  if (!tx.instance.settings.multiSession) await closeSessions(tx, mine, 'replaced')
  // Signing in again ends what this person had open on the same client.
  else await closeSessions(tx, and(mine, eq(sessions.userId, user.id)), 'replaced')

  const { inactivityTimeout, maximumLifetime: limit } = tx.instance.settings.session
  const maximumLifetime = Math.min(input.maximumLifetime ?? limit, limit)
  const [session] = await tx.db
    .insert(sessions)
    .values({
      id: newId('session'),
      instanceId: tx.instance.id,
      clientId: input.clientId,
      userId: user.id,
      status: 'active',
      lastActiveOrganizationId: await firstOrganization(tx, input),
      firstFactorAt: now,
      secondFactorAt: input.secondFactorAt ?? null,
      resetPasswordRequired: user.passwordCompromised && !input.actor,
      actor: input.actor ?? null,
      userAgent: input.userAgent?.slice(0, 400) ?? null,
      ipAddress: input.ipAddress ?? null,
      lastActiveAt: now,
      expireAt: new Date(now.getTime() + maximumLifetime * 1000),
      abandonAt: new Date(now.getTime() + inactivityTimeout * 1000),
      createdAt: now,
      updatedAt: now,
    })
    .returning()
  if (!session) throw new UsherError('internal_error', 'The session could not be made.')
  await tx.db
    .update(clients)
    .set({ lastActiveSessionId: session.id, lastAuthenticationStrategy: input.strategy, updatedAt: now })
    .where(eq(clients.id, input.clientId))
  // Whoever acts for somebody neither was them nor makes a device theirs.
  if (!input.actor) await noteSignIn(tx, user.id)
  if (input.carrier && !input.actor) await rememberDevice(tx, { userId: user.id, clientId: input.clientId })
  const data = {
    session_id: session.id,
    user_id: user.id,
    client_id: input.clientId,
    ...(input.actor && { actor_sub: input.actor.sub }),
  }
  emit(tx, { type: 'session.created', subject: session.id, data })
  const { clientId, carrier } = input
  return { session, issued: carrier && (await rotateClientToken(tx, { clientId, carrier })) }
}

/** The organization to begin with: the one asked for, or the only one there is where one must be active. */
async function firstOrganization(tx: Tx, input: CreateSessionInput): Promise<string | null> {
  const { enabled, forceSelection } = tx.instance.settings.organizations
  if (!enabled || (!input.organizationId && !forceSelection)) return null
  const memberships = await findMembershipsOfUsers(tx, [input.userId])
  if (input.organizationId)
    return memberships.find((m) => m.organizationId === input.organizationId)?.organizationId ?? null
  return memberships.length === 1 ? (memberships[0]?.organizationId ?? null) : null
}
