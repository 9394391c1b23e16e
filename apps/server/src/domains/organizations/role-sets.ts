import { sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import {
  deleteRoleSet,
  getRoleSet,
  lockRoleSet,
  type RoleSetChange,
  type RoleSetRecord,
  removeRoleFromRoleSet,
} from '../access/index.ts'
import { emit } from '../events/index.ts'
import { lockOrganization } from './seats.ts'

/** The organizations that use a set. */
const using = (set: RoleSetRecord) =>
  set.type === 'initial' ? sql`(o.role_set_id is null or o.role_set_id = ${set.id})` : sql`o.role_set_id = ${set.id}`

/**
 * Moves everybody from one role to another, in the organizations that a condition names: members, open invitations and
 * groups.
 */
async function reassign(tx: Tx, where: ReturnType<typeof sql>, from: string, to: { id: string; key: string }) {
  const moved = await tx.db.execute<{ id: string; organization_id: string; user_id: string }>(sql`
    update memberships m set role_id = ${to.id}, updated_at = ${tx.now()} from organizations o
    where o.id = m.organization_id and m.role_id = ${from} and ${where} returning m.id, m.organization_id, m.user_id`)
  const further = await tx.db.execute<{ id: string; organization_id: string; user_id: string; role: string }>(sql`
    with gone as (delete from membership_roles mr using memberships m, organizations o
        where m.id = mr.membership_id and o.id = m.organization_id and mr.role_id = ${from} and ${where} returning mr.*),
      made as (insert into membership_roles (instance_id, membership_id, role_id, source, created_at)
        select instance_id, membership_id, ${to.id}, source, created_at from gone on conflict do nothing)
    select m.id, m.organization_id, m.user_id, r.key as role
    from gone join memberships m on m.id = gone.membership_id join roles r on r.id = m.role_id`)
  // The primary role need not be held twice.
  await tx.db.execute(sql`delete from membership_roles mr using memberships m, organizations o
    where m.id = mr.membership_id and o.id = m.organization_id and m.role_id = mr.role_id and mr.role_id = ${to.id} and ${where}`)
  const groups = await tx.db.execute<{ id: string; organization_id: string }>(sql`
    with gone as (delete from group_roles gr using groups g, organizations o
        where g.id = gr.group_id and o.id = g.organization_id and gr.role_id = ${from} and ${where} returning gr.*),
      made as (insert into group_roles (instance_id, group_id, role_id, created_at)
        select instance_id, group_id, ${to.id}, created_at from gone on conflict do nothing)
    select g.id, g.organization_id from gone join groups g on g.id = gone.group_id`)
  await tx.db.execute(sql`update organization_invitations i set role_id = ${to.id} from organizations o
    where o.id = i.organization_id and i.role_id = ${from} and ${where}`)
  const changed = [...[...moved].map((m) => ({ ...m, role: to.key })), ...further] as (typeof further)[number][]
  for (const { id, organization_id, user_id, role } of changed)
    emit(tx, { type: 'organizationMembership.updated', subject: id, data: { organization_id, user_id, role } })
  for (const { id, organization_id } of groups)
    emit(tx, { type: 'group.updated', subject: id, data: { organization_id } })
}

/**
 * Takes a role out of a set; whoever has it in the organizations of the set gets another one of the set.
 *
 * @throws {UsherError} `resource_not_found` or `form_param_value_invalid`
 */
export async function replaceRoleInRoleSet(
  ctx: Ctx | Tx,
  input: { id: string; role: string; to: string },
): Promise<RoleSetChange> {
  return transaction(ctx, async (tx) => {
    const { id } = await getRoleSet(tx, input.id)
    await lockRoleSet(tx, id)
    const roleSet = await getRoleSet(tx, id)
    const role = named(roleSet, input.role, 'role_key')
    const to = named(roleSet, input.to, 'to_role_key')
    if (role.id === to.id)
      throw new UsherError('form_param_value_invalid', 'That is the same role.', { param: 'to_role_key' })
    await reassign(tx, using(roleSet), role.id, to)
    return removeRoleFromRoleSet(tx, { roleSet, role, to })
  })
}

/**
 * Moves all organizations of a set to another one, and deletes the set.
 *
 * @param input.mappings keys of roles to keys of roles of the other set, for those that it does not have
 * @throws {UsherError} `resource_not_found`, `form_param_value_invalid`, `role_in_use` (a role without a mapping) or
 *   `system_record_immutable` for the initial set
 */
export async function replaceRoleSet(
  ctx: Ctx | Tx,
  input: { id: string; to: string; mappings?: Record<string, string> | undefined },
): Promise<RoleSetRecord> {
  return transaction(ctx, async (tx) => {
    const { id } = await getRoleSet(tx, input.id)
    await lockRoleSet(tx, id)
    const [roleSet, to] = [await getRoleSet(tx, id), await getRoleSet(tx, input.to)]
    if (to.id === id)
      throw new UsherError('form_param_value_invalid', 'That is the same set.', { param: 'dest_role_set_key' })
    await moveRoles(tx, roleSet, to, using(roleSet), new Map(Object.entries(input.mappings ?? {})))
    await tx.db.execute(
      sql`update organizations o set role_set_id = ${to.id}, updated_at = ${tx.now()} where ${using(roleSet)}`,
    )
    await deleteRoleSet(tx, roleSet)
    return roleSet
  })
}

/**
 * Lets an organization choose its roles from another set. Roles that people have there have to be in it.
 *
 * @throws {UsherError} `resource_not_found` or `role_in_use`
 */
export async function setRoleSet(tx: Tx, input: { organizationId: string; roleSet: string }): Promise<void> {
  await lockOrganization(tx, input.organizationId)
  const to = await getRoleSet(tx, input.roleSet)
  await refuseRolesOutside(tx, sql`o.id = ${input.organizationId}`, to)
  await tx.db.execute(sql`update organizations set role_set_id = ${to.id} where id = ${input.organizationId}`)
}

async function moveRoles(
  tx: Tx,
  from: RoleSetRecord,
  to: RoleSetRecord,
  where: ReturnType<typeof sql>,
  mappings: Map<string, string>,
) {
  for (const role of from.roles) {
    const mapped = mappings.get(role.key)
    if (mapped === undefined || mapped === role.key) continue
    await reassign(tx, where, role.id, named(to, mapped, 'reassignment_mappings'))
  }
  await refuseRolesOutside(tx, where, to)
}

async function refuseRolesOutside(tx: Tx, where: ReturnType<typeof sql>, to: RoleSetRecord) {
  const [stray] = await tx.db.execute<{ key: string }>(sql`
    select r.key from roles r where r.organization_id is null
      and r.id not in (select role_id from role_set_roles where role_set_id = ${to.id})
      and (exists (select from memberships m join organizations o on o.id = m.organization_id where m.role_id = r.id and ${where})
        or exists (select from membership_roles mr join memberships m on m.id = mr.membership_id
          join organizations o on o.id = m.organization_id where mr.role_id = r.id and ${where})
        or exists (select from group_roles gr join groups g on g.id = gr.group_id
          join organizations o on o.id = g.organization_id where gr.role_id = r.id and ${where})
        or exists (select from organization_invitations i join organizations o on o.id = i.organization_id
          where i.role_id = r.id and i.status = 'pending' and ${where}))
    order by r.key limit 1`)
  if (stray)
    throw new UsherError('role_in_use', `Somebody has the role ${stray.key}, which is not in the set.`, {
      meta: { role: stray.key },
    })
}

function named(set: RoleSetRecord, key: string, param: string) {
  const found = set.roles.find((role) => role.key === key)
  if (!found) throw new UsherError('form_param_value_invalid', 'The set has no such role.', { param })
  return found
}
