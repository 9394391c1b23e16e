import { eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { requirePermission } from '../organizations/index.ts'
import { organizations } from '../organizations/tables.ts'
import { users } from '../users/tables.ts'

export type Subject = { userId: string } | { organizationId: string }

export const idOf = (subject: Subject): string => ('userId' in subject ? subject.userId : subject.organizationId)

/**
 * Whose keys a request is about. The application's server names anybody in its instance. A person has their own keys and
 * those of the organization that is active in their session, if their role allows it; what they name beside that is
 * refused, never believed.
 *
 * @param named id of a person or an organization. Absent: the active organization, else the person
 * @throws {UsherError} `forbidden`, `api_keys_not_enabled`, `form_param_value_invalid` for a subject that is not there,
 *   `authentication_invalid` for anybody else
 */
export async function requireSubject(tx: Tx, named: string | undefined, right: 'read' | 'manage'): Promise<Subject> {
  const { actor, instance } = tx
  if (actor.type === 'backend' || actor.type === 'system') return findSubject(tx, named)
  if (actor.type !== 'user') throw new UsherError('authentication_invalid', 'You are signed out.')
  const id = named || (actor.organizationId ?? actor.userId)
  const { users: forUsers, organizations: forOrganizations } = instance.settings.apiKeys
  if (id === actor.userId) {
    if (!forUsers) throw notEnabled()
    return { userId: id }
  }
  if (id !== actor.organizationId)
    throw new UsherError('forbidden', 'Keys are one’s own, or those of the organization that is active.')
  if (!forOrganizations) throw notEnabled()
  await requirePermission(tx, id, `org:sys_api_keys:${right}`)
  return { organizationId: id }
}

const notEnabled = () => new UsherError('api_keys_not_enabled', 'API keys are not enabled here.')

async function findSubject(tx: Tx, id = ''): Promise<Subject> {
  const [[user], [organization]] = await Promise.all([
    tx.db.select({ id: users.id }).from(users).where(eq(users.id, id)),
    tx.db.select({ id: organizations.id }).from(organizations).where(eq(organizations.id, id)),
  ])
  if (user) return { userId: user.id }
  if (organization) return { organizationId: organization.id }
  throw new UsherError('form_param_value_invalid', 'There is no such person or organization.', { param: 'subject' })
}
