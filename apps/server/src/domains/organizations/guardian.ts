import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { MembershipRecord } from './queries.ts'

/** Who holds this may do everything that keeps an organization alive; at least one member must. */
export const guardian = 'org:sys_memberships:manage'

/** Whether anybody may manage the members, by whichever role, group or permission. */
async function hasGuardian(tx: Tx, organizationId: string): Promise<boolean> {
  const [row] = await tx.db.execute<{ found: boolean }>(sql`
    with p as (select id from permissions where key = ${guardian}),
      r as (select role_id as id from role_permissions where permission_id in (select id from p)),
      m as (select id, role_id from memberships where organization_id = ${organizationId})
    select exists (select from m where role_id in (select id from r))
      or exists (select from m join membership_roles mr on mr.membership_id = m.id where mr.role_id in (select id from r))
      or exists (select from m join membership_permissions mp on mp.membership_id = m.id
        where mp.permission_id in (select id from p))
      or exists (select from group_members gm join group_roles gr on gr.group_id = gm.group_id
        where gm.organization_id = ${organizationId} and gr.role_id in (select id from r)) as found`)
  return row?.found ?? false
}

/**
 * Makes a change, unless it leaves nobody able to manage the members. The organization's row is locked by the caller.
 *
 * @param losing who may lose the permission by it; undefined: it is not known who
 * @throws {UsherError} `organization_minimum_permissions_needed`
 */
export async function keepingGuardian(
  tx: Tx,
  losing: MembershipRecord | { organizationId: string; permissions?: undefined },
  change: () => PromiseLike<unknown>,
): Promise<void> {
  const { organizationId, permissions } = losing
  const matters = permissions ? permissions.includes(guardian) : await hasGuardian(tx, organizationId)
  await change()
  if (matters && !(await hasGuardian(tx, organizationId)))
    throw new UsherError(
      'organization_minimum_permissions_needed',
      'An organization needs at least one member who can manage its members.',
    )
}
