import { sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { addToInitialRoleSet } from '../access/index.ts'
import { permissions, roles } from '../access/tables.ts'
import { emit } from '../events/index.ts'
import { nameSkeleton } from '../organizations/index.ts'
import { organizations } from '../organizations/tables.ts'
import { insertRows } from './insert-rows.ts'
import type { OrganizationRecord, ParsedRecord, PermissionRecord, RoleRecord } from './parse-record.ts'
import { isIdOf } from './prepare-user.ts'

type Place = Exclude<ParsedRecord, { kind: 'user' } | { kind: 'export' }>

/**
 * Writes an organization, role or permission of an export, unless one of its key is there already: an instance comes
 * with the system's roles, and an import may bring users to organizations that exist.
 *
 * @returns why it was not written, if it ought to have been
 */
export async function writePlace(
  tx: Tx,
  place: Place,
  options: { keepIds: boolean; events: boolean },
): Promise<string | undefined> {
  switch (place.kind) {
    case 'organization':
      return writeOrganization(tx, place.record, options)
    case 'role':
      return writeRole(tx, place.record)
    case 'permission':
      return writePermission(tx, place.record)
  }
}

async function writeOrganization(
  tx: Tx,
  record: OrganizationRecord,
  options: { keepIds: boolean; events: boolean },
): Promise<undefined> {
  const keepsId = options.keepIds && record.id !== undefined && isIdOf('organization', record.id)
  const id = keepsId ? record.id : newId('organization')
  const createdAt = record.created_at ?? tx.now()
  const row = {
    id,
    instanceId: tx.instance.id,
    name: record.name,
    nameSkeleton: nameSkeleton(record.name),
    slug: record.slug,
    externalId: record.external_id ?? null,
    // A creator's id means somebody only where ids are kept.
    createdBy: options.keepIds ? (record.created_by ?? null) : null,
    publicMetadata: record.public_metadata ?? {},
    privateMetadata: record.private_metadata ?? {},
    maxAllowedMemberships: record.max_allowed_memberships ?? tx.instance.settings.organizations.maxAllowedMemberships,
    adminDeleteEnabled: record.admin_delete_enabled,
    createdAt,
    updatedAt: record.updated_at ?? createdAt,
  }
  const [made] = await insertRows(tx, organizations, [row], 'on conflict do nothing returning id')
  if (made && options.events) emit(tx, { type: 'organization.created', subject: String(id), data: {} })
}

async function writePermission(tx: Tx, record: PermissionRecord): Promise<undefined> {
  const now = tx.now()
  const row = {
    id: newId('permission'),
    instanceId: tx.instance.id,
    ...record,
    type: 'user',
    createdAt: now,
    updatedAt: now,
  }
  await insertRows(tx, permissions, [row], 'on conflict (instance_id, key) do nothing')
}

async function writeRole(tx: Tx, record: RoleRecord): Promise<string | undefined> {
  const now = tx.now()
  const { permissions: granted, is_creator_eligible: isCreatorEligible, ...fields } = record
  const id = newId('role')
  const row = { id, instanceId: tx.instance.id, ...fields, isCreatorEligible, createdAt: now, updatedAt: now }
  const [made] = await insertRows(tx, roles, [row], 'on conflict do nothing returning id')
  if (!made) return undefined
  await addToInitialRoleSet(tx, id)
  const known = (await tx.db.execute(sql`
    insert into role_permissions (instance_id, role_id, permission_id)
    select ${tx.instance.id}, ${id}, id from permissions
    where key = any (array(select json_array_elements_text(${JSON.stringify(granted)}::text::json)))
    returning permission_id`)) as unknown as unknown[]
  emit(tx, { type: 'role.created', subject: id, data: { key: record.key } })
  return known.length < new Set(granted).size
    ? `the role ${record.key} names permissions that are not there`
    : undefined
}
