import type { Instance } from '../instances/index.ts'
import type { Session } from './queries.ts'

type Timed = Pick<Session, 'status' | 'expireAt' | 'abandonAt'>
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

/** What the person has to do before the session counts as active. */
export function sessionTasksOf(instance: Instance, session: Placed): { key: 'choose-organization' }[] {
  const { enabled, forceSelection } = instance.settings.organizations
  return enabled && forceSelection && activeOrganizationOf(session) === null ? [{ key: 'choose-organization' }] : []
}
