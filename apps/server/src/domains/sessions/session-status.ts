import { secondFactorsOf } from '../credentials/index.ts'
import type { Instance } from '../instances/index.ts'
import type { UserRecord } from '../users/index.ts'
import type { Session } from './queries.ts'

type Timed = Pick<Session, 'status' | 'expireAt' | 'abandonAt'>
type Tasked = Placed & Pick<Session, 'resetPasswordRequired' | 'actor'> & { user: UserRecord }
type Placed = Pick<Session, 'lastActiveOrganizationId'> & { memberships: readonly { organizationId: string }[] }

/** The status that a session has at a moment: rows are not rewritten when their time runs out. */
export function sessionStatusAt(session: Timed, now: Date): Session['status'] {
  if (session.status !== 'active' && session.status !== 'pending') return session.status
  if (session.expireAt <= now) return 'expired'
  return session.abandonAt <= now ? 'abandoned' : session.status
}

/** Whether a session still counts, finished or with tasks left. */
export function isSignedIn(session: Timed, now: Date): boolean {
  const status = sessionStatusAt(session, now)
  return status === 'active' || status === 'pending'
}

/** The active organization; null when the person is not, or no longer, a member of it. */
export function activeOrganizationOf(session: Placed): string | null {
  const id = session.lastActiveOrganizationId
  return id !== null && session.memberships.some((m) => m.organizationId === id) ? id : null
}

export type SessionTask = { key: 'reset-password' | 'setup-mfa' | 'choose-organization' }

/** What the person has to do before the session counts as active, in the order in which it is asked for. */
export function sessionTasksOf(instance: Instance, session: Tasked): SessionTask[] {
  const { organizations, secondFactors } = instance.settings
  const tasks: SessionTask[] = []
  if (session.resetPasswordRequired) tasks.push({ key: 'reset-password' })
  // Whoever acts for somebody sets nothing up for them.
  if (secondFactors.required && !session.actor && secondFactorsOf(instance, session.user).length === 0)
    tasks.push({ key: 'setup-mfa' })
  if (organizations.enabled && organizations.forceSelection && activeOrganizationOf(session) === null)
    tasks.push({ key: 'choose-organization' })
  return tasks
}
