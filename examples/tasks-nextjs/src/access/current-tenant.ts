import { auth } from '@clerk/nextjs/server'

/** Whose data a request is about, and what its caller may do there. Everything below asks this, and nothing else. */
export type Tenant = {
  /** The organization's id, or the user's own for the personal account. Owner of every row and every document. */
  id: string
  kind: 'organization' | 'personal'
  userId: string
  sessionId: string
  /** `org:admin`, `org:member`, `org:reader`, …; null in the personal account. */
  role: string | null
  canRead: boolean
  canWrite: boolean
}

/** The tenant of the verified session token that came with the request; null when signed out. */
export async function currentTenant(): Promise<Tenant | null> {
  const { userId, sessionId, orgId, orgRole, has } = await auth()
  if (!userId) return null
  if (!orgId) return { id: userId, kind: 'personal', userId, sessionId, role: null, canRead: true, canWrite: true }
  return {
    id: orgId,
    kind: 'organization',
    userId,
    sessionId,
    role: orgRole ?? null,
    canRead: has({ permission: 'org:tasks:read' }),
    canWrite: has({ permission: 'org:tasks:write' }),
  }
}
