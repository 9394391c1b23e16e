import { asc, inArray } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { parseDomainName } from '../organizations/index.ts'
import { organizationDomains } from '../organizations/tables.ts'
import { insertRows } from './insert-rows.ts'
import type { OrganizationDomainRecord } from './parse-record.ts'

/** The domains of a page of organizations as they stand in an export: one query, however many. */
export async function domainsOf(tx: Tx, organizationIds: string[]): Promise<Map<string, { domains?: object[] }>> {
  const rows = await tx.db
    .select()
    .from(organizationDomains)
    .where(inArray(organizationDomains.organizationId, organizationIds))
    .orderBy(asc(organizationDomains.name))
  const byOrganization = Map.groupBy(rows, (row) => row.organizationId)
  return new Map(
    [...byOrganization].map(([id, domains]) => [
      id,
      {
        domains: domains.map((domain) => ({
          name: domain.name,
          enrollment_mode: domain.enrollmentMode,
          affiliation_email_address: domain.affiliationEmailAddress,
          affiliation_strategy: domain.affiliationStrategy,
          affiliation_verified_at: domain.affiliationVerifiedAt?.getTime() ?? null,
          ownership_record_value: domain.ownershipRecordValue,
          ownership_expires_at: domain.ownershipExpiresAt?.getTime() ?? null,
          ownership_verified_at: domain.ownershipVerifiedAt?.getTime() ?? null,
          created_at: domain.createdAt.getTime(),
          updated_at: domain.updatedAt.getTime(),
        })),
      },
    ]),
  )
}

/**
 * Writes the domains of an organization that was just made. Its people find what they are offered when they look.
 *
 * @returns which of them could not be written, if one could not
 */
export async function writeDomains(
  tx: Tx,
  organizationId: string,
  records: readonly OrganizationDomainRecord[],
  options: { events: boolean },
): Promise<string | undefined> {
  const refused: string[] = []
  for (const record of records) {
    const name = readName(record.name)
    const createdAt = record.created_at ?? tx.now()
    const row = name && {
      id: newId('organizationDomain'),
      instanceId: tx.instance.id,
      organizationId,
      name,
      enrollmentMode: record.enrollment_mode,
      affiliationEmailAddress: record.affiliation_email_address ?? null,
      affiliationStrategy: record.affiliation_strategy ?? null,
      affiliationVerifiedAt: record.affiliation_verified_at ?? null,
      ownershipRecordValue: record.ownership_record_value ?? null,
      ownershipExpiresAt: record.ownership_expires_at ?? null,
      ownershipVerifiedAt: record.ownership_verified_at ?? null,
      createdAt,
      updatedAt: record.updated_at ?? createdAt,
    }
    // One that another organization has verified by now stays with that one.
    const [made] = row
      ? await insertRows(tx, organizationDomains, [row], 'on conflict do nothing returning id')
      : [undefined]
    if (!row || !made) refused.push(record.name)
    else if (options.events)
      emit(tx, {
        type: 'organizationDomain.created',
        subject: row.id,
        data: { organization_id: organizationId, name: row.name },
      })
  }
  return refused.length > 0 ? `domains that it cannot have: ${refused.join(', ')}` : undefined
}

function readName(name: string): string | undefined {
  try {
    return parseDomainName(name)
  } catch (error) {
    if (error instanceof UsherError) return undefined
    throw error
  }
}
