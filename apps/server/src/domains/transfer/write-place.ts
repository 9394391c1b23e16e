import type { Tx } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { permissions } from '../access/tables.ts'
import { emit } from '../events/index.ts'
import { nameSkeleton } from '../organizations/index.ts'
import { organizations } from '../organizations/tables.ts'
import { insertRows } from './insert-rows.ts'
import { writeDomains } from './organization-domains.ts'
import type { OrganizationRecord, ParsedRecord, PermissionRecord } from './parse-record.ts'
import { isIdOf } from './prepare-user.ts'
import { writeFeature, writeOrganizationAccess, writeRole, writeRoleSet } from './write-access.ts'

type Place = Exclude<ParsedRecord, { kind: 'user' } | { kind: 'export' }>

/**
 * Writes an organization, role, role set, permission or feature of an export, unless one of its key is there already: an instance comes
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
      return place.record.key.startsWith('org:org_')
        ? 'a role of one organization stands in the line of the organization'
        : writeRole(tx, place.record, null)
    case 'role_set':
      return writeRoleSet(tx, place.record)
    case 'feature':
      return writeFeature(tx, place.record)
    case 'permission':
      return writePermission(tx, place.record)
  }
}

async function writeOrganization(
  tx: Tx,
  record: OrganizationRecord,
  options: { keepIds: boolean; events: boolean },
): Promise<string | undefined> {
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
  if (!made) return undefined
  if (options.events) emit(tx, { type: 'organization.created', subject: String(id), data: {} })
  const lacks = await writeOrganizationAccess(tx, String(id), record)
  return (await writeDomains(tx, String(id), record.domains, options)) ?? lacks
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
