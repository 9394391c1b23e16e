import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { getOfferedRole, type Permission, type RoleRecord } from '../access/index.ts'
import type { MembershipRecord } from './queries.ts'

/**
 * A role that the caller may hand out in the organization: one of its role set or of its own, and nobody gives rights
 * over the organization that they do not have.
 *
 * @param caller undefined: the application's server, which may give any
 * @throws {UsherError} `form_param_value_invalid` for an unknown role, `forbidden` for one above the caller's rights
 */
export async function getGrantableRole(
  tx: Tx,
  organizationId: string,
  key: unknown,
  caller: MembershipRecord | undefined,
): Promise<RoleRecord> {
  const role = await getOfferedRole(tx, { organizationId, key })
  // What an application lets its roles do is its own affair: an administrator gives roles that they do not have.
  const beyond = caller && role.permissions.some((p) => p.type === 'system' && !caller.permissions.includes(p.key))
  if (beyond)
    throw new UsherError('forbidden', 'This role allows more than you may do yourself.', {
      param: 'role',
      refused: { organizationId, rule: `role ${role.key} is beyond the caller’s` },
    })
  return role
}

/** Refuses single permissions that the caller does not hold, whatever kind they are of. @throws {UsherError} `forbidden` */
export function refuseBeyond(caller: MembershipRecord | undefined, permissions: readonly Permission[]): void {
  const missing = caller ? permissions.filter((p) => !caller.permissions.includes(p.key)) : []
  if (missing.length > 0)
    throw new UsherError('forbidden', 'You cannot give permissions that you do not have.', {
      meta: { permissions: missing.map((p) => p.key) },
      ...(caller && {
        refused: { organizationId: caller.organizationId, rule: 'permissions are beyond the caller’s' },
      }),
    })
}
