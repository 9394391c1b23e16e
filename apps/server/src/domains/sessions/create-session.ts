import { and, eq, inArray } from 'drizzle-orm'
import { type Tx, writeLater, writeRow } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { findMembershipsOfUsers } from '../organizations/index.ts'
import { getUser, noteSignIn, refuseUnwelcome, type UserRecord } from '../users/index.ts'
import type { SessionActor } from './actor-tokens.ts'
import {
  type ClientCarrier,
  issueFirstToken,
  type NewClientToken,
  noteClientSession,
  rotateClientToken,
} from './clients.ts'
import { rememberDevice, rememberFirstDevice } from './devices.ts'
import { closeSessions } from './end-session.ts'
import type { Client, Session } from './queries.ts'
import { primeSessions, type Watch } from './session-cache.ts'
import { clients, sessions } from './tables.ts'

/** The browser that asks, as its face identified it. */
export type Browser = {
  clientId: string
  carrier: ClientCarrier
  userAgent: string | null
  ipAddress: string | null
  /** There is no such client yet: what it does first makes it. */
  isNew?: boolean | undefined
  /** SHA-256 of the token that a dev browser without a client showed. */
  presentedHash?: string | undefined
}

/** A person as they were when their password was read, with what is heard of them from then on. */
export type SeenUser = { user: UserRecord; passwordHash: string; watch?: Watch }

export type CreateSessionInput = Partial<Omit<Browser, 'clientId'>> & {
  /** Of the session to be, when its maker has to know it before. */
  id?: string
  clientId: string
  userId: string
  /** The person as they were read when their password was, if that is what they signed in with. */
  seen?: SeenUser
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
 * Signs a person in on a client, which it makes if it is new, and gives the client a new token. What the client had
 * under way is over. In single-session instances the session takes the place of the one that was there. Without a
 * `carrier` nobody waits for a client token (the server API made it).
 *
 * @returns `hadDevice`: whether the person has signed in on any device before; said for new clients only, and not of whom
 *   somebody acts for
 * @throws {UsherError} `user_banned` or `user_locked`, also when that came about a moment ago; `conflict` when what was
 *   seen has changed
 */
export async function createSession(
  tx: Tx,
  input: CreateSessionInput,
): Promise<{ session: Session; issued: NewClientToken | undefined; hadDevice: boolean | undefined }> {
  const user = input.seen?.user ?? (await getUser(tx, input.userId))
  const now = tx.now()
  refuseUnwelcome(user, now)
  const { clientId, carrier, strategy, isNew = false } = input
  const { inactivityTimeout, maximumLifetime: limit } = tx.instance.settings.session
  const maximumLifetime = Math.min(input.maximumLifetime ?? limit, limit)
  const session: Session = {
    id: input.id ?? newId('session'),
    instanceId: tx.instance.id,
    clientId,
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
  }
  // The client's row is first: sign-ins on one client wait for each other here, and the later one ends the earlier.
  if (!isNew) {
    await noteClientSession(tx, { id: clientId, sessionId: session.id, strategy, now })
    await endEarlier(tx, clientId, user.id)
  }
  const client = isNew ? newClient(session, strategy) : undefined
  // Whoever acts for somebody neither was them nor makes a device theirs.
  const isOwner = !input.actor
  // Nobody knows a new client yet, so what is written of it waits for the commit, and is written at once.
  if (client) {
    writeLater(tx, clients, client)
    writeLater(tx, sessions, session)
    if (carrier && isOwner) rememberFirstDevice(tx, { userId: user.id, clientId })
  }
  const [issued, memberships, noted] = await Promise.all([
    carrier && (isNew ? issueFirstToken(tx, clientId, carrier) : rotateClientToken(tx, { clientId, carrier })),
    client && input.seen && (user.hasMemberships ? findMembershipsOfUsers(tx, [user.id]) : []),
    isOwner && noteSignIn(tx, user, input.seen?.passwordHash),
    !client && writeRow(tx, sessions, session),
    !client && carrier && isOwner && rememberDevice(tx, { userId: user.id, clientId }),
  ])
  const ids = { session_id: session.id, user_id: user.id, client_id: clientId }
  emit(tx, {
    type: 'session.created',
    subject: session.id,
    data: { ...ids, ...(input.actor && { actor_sub: input.actor.sub }) },
  })
  // Of a new client nobody holds anything that this makes untrue.
  if (!isNew) emit(tx, { type: 'client.updated', subject: clientId, data: { client_id: clientId } })
  const watch = input.seen?.watch
  if (client && watch && memberships && issued) {
    const now = {
      lastSignInAt: session.createdAt,
      lastActiveAt: session.createdAt,
      failedAttempts: 0,
      lockedUntil: null,
    }
    const record = { ...client, sessions: [{ ...session, user: { ...user, ...now }, memberships }] }
    tx.beforeCommit(async () => tx.afterCommit(() => primeSessions(tx, watch, record, issued)))
  }
  return { session, issued: issued || undefined, hadDevice: isNew && noted ? noted.hasDevice : undefined }
}

/** In single-session instances everything that is open on a client, else what this person has open on it. */
async function endEarlier(tx: Tx, clientId: string, userId: string): Promise<void> {
  const mine = and(eq(sessions.clientId, clientId), inArray(sessions.status, ['active', 'pending']))
  const { multiSession } = tx.instance.settings
  await closeSessions(tx, multiSession ? and(mine, eq(sessions.userId, userId)) : mine, 'replaced')
}

const newClient = ({ id, clientId, instanceId, createdAt }: Session, strategy: string): Client => ({
  id: clientId,
  instanceId,
  lastActiveSessionId: id,
  lastAuthenticationStrategy: strategy,
  signInId: null,
  signUpId: null,
  createdAt,
  updatedAt: createdAt,
})

/** The organization to begin with: the one asked for, or the only one there is where one must be active. */
async function firstOrganization(tx: Tx, input: CreateSessionInput): Promise<string | null> {
  const { enabled, forceSelection } = tx.instance.settings.organizations
  if (!enabled || (!input.organizationId && !forceSelection)) return null
  const memberships = await findMembershipsOfUsers(tx, [input.userId])
  if (input.organizationId)
    return memberships.find((m) => m.organizationId === input.organizationId)?.organizationId ?? null
  return memberships.length === 1 ? (memberships[0]?.organizationId ?? null) : null
}
