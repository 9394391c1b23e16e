import { and, asc, count, desc, eq, inArray, isNotNull, isNull, ne, not, or, type SQL, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { emit } from '../events/index.ts'
import { EnrollmentMode } from '../instances/index.ts'
import { getUser } from '../users/index.ts'
import { parseDomainName } from './domain-name.ts'
import { enrollPeopleOf, withdrawOffers } from './enrollment.ts'
import { requirePermission } from './require-permission.ts'
import { lockOrganization } from './seats.ts'
import { organizationDomains } from './tables.ts'

export type OrganizationDomain = typeof organizationDomains.$inferSelect

/** A domain with what its verification and its people have come to. */
export type DomainRecord = OrganizationDomain & {
  /** Guesses at the last code. */
  affiliationAttempts: number
  /** Open invitations that it brought about. */
  totalPendingInvitations: number
  totalPendingSuggestions: number
}

/** Domains of one organization: each is a claim that others see when they are refused it. */
const maxDomains = 50

/** A domain counts once a mailbox in it, or a record in its zone, was shown. */
export const isVerified = or(
  isNotNull(organizationDomains.affiliationVerifiedAt),
  isNotNull(organizationDomains.ownershipVerifiedAt),
) as SQL

const counts = {
  affiliationAttempts: sql<number>`coalesce((select v.attempts from verification_codes v
    where v.purpose = 'organization_domain' and v.subject_id = organization_domains.id
    order by v.created_at desc limit 1), 0)`,
  totalPendingInvitations: sql<number>`(select count(*)::int from organization_invitations i
    where i.domain_id = organization_domains.id and i.status = 'pending' and i.expires_at > now())`,
  totalPendingSuggestions: sql<number>`(select count(*)::int from organization_suggestions s
    where s.domain_id = organization_domains.id and s.status = 'pending')`,
}

/** Domains with their numbers: one query, however many. Oldest first without a page, newest first with one. */
export async function findDomains(tx: Tx, where: SQL | undefined, page?: Pagination): Promise<DomainRecord[]> {
  const query = tx.db
    .select({ domain: organizationDomains, ...counts })
    .from(organizationDomains)
    .where(where)
    .orderBy((page ? desc : asc)(organizationDomains.createdAt), organizationDomains.id)
    .$dynamic()
  const rows = await (page ? query.limit(page.limit).offset(page.offset) : query)
  return rows.map(({ domain, ...numbers }) => ({ ...domain, ...numbers }))
}

export type DomainKey = { organizationId: string; domainId: string }

const byKey = ({ organizationId, domainId }: DomainKey) =>
  and(eq(organizationDomains.id, domainId), eq(organizationDomains.organizationId, organizationId))

export const noSuchDomain = () => new UsherError('resource_not_found', 'There is no such domain.')

/** Reads a domain for whoever was let in already. @throws {UsherError} `resource_not_found` */
export async function readDomain(tx: Tx, key: DomainKey): Promise<DomainRecord> {
  const [found] = await findDomains(tx, byKey(key))
  if (!found) throw noSuchDomain()
  return found
}

/** @throws {UsherError} `organization_not_found_or_unauthorized`, `forbidden` or `resource_not_found` */
export async function getDomain(ctx: Ctx | Tx, key: DomainKey): Promise<DomainRecord> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, key.organizationId, 'org:sys_domains:read')
    return readDomain(tx, key)
  })
}

export type ListDomainsInput = Pagination & {
  /** Absent: those of all organizations, for the application's server alone. */
  organizationId?: string | undefined
  enrollmentModes?: EnrollmentMode[] | undefined
  verified?: boolean | undefined
  /** Whole names. */
  names?: string[] | undefined
}

/** Newest first. @throws {UsherError} `organization_not_found_or_unauthorized` or `forbidden` */
export async function listOrganizationDomains(ctx: Ctx | Tx, input: ListDomainsInput): Promise<Page<DomainRecord>> {
  const { organizationId, enrollmentModes, verified, names } = input
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, organizationId ?? '', 'org:sys_domains:read')
    const where = and(
      organizationId === undefined ? undefined : eq(organizationDomains.organizationId, organizationId),
      enrollmentModes?.length ? inArray(organizationDomains.enrollmentMode, enrollmentModes) : undefined,
      verified === undefined ? undefined : verified ? isVerified : not(isVerified),
      names?.length ? inArray(organizationDomains.name, names) : undefined,
    )
    const [total] = await tx.db.select({ n: count() }).from(organizationDomains).where(where)
    return { data: await findDomains(tx, where, input), totalCount: total?.n ?? 0 }
  })
}

export type CreateDomainInput = {
  organizationId: string
  name: unknown
  enrollmentMode?: unknown
  /** On the word of the application's own server, which alone is asked for it. */
  verified?: boolean | undefined
}

/**
 * Names a domain as an organization's. Nothing comes of it until it is verified, which it is at once for somebody who has
 * shown a mailbox at it when they proved their own address.
 *
 * @throws {UsherError} `organization_domains_not_enabled`, `forbidden`, `enrollment_mode_not_enabled`,
 *   `duplicate_record`, `organization_domain_taken` (verified by another organization),
 *   `organization_domain_quota_exceeded`, or as `parseDomainName`
 */
export async function createOrganizationDomain(ctx: Ctx | Tx, input: CreateDomainInput): Promise<DomainRecord> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_domains:manage')
    refuseIfOff(tx)
    const name = parseDomainName(input.name)
    const enrollmentMode = parseEnrollmentMode(tx, input.enrollmentMode)
    await lockOrganization(tx, input.organizationId)
    const held = await tx.db.$count(organizationDomains, eq(organizationDomains.organizationId, input.organizationId))
    if (held >= maxDomains)
      throw new UsherError('organization_domain_quota_exceeded', `An organization has ${maxDomains} domains at most.`)
    const now = tx.now()
    const id = newId('organizationDomain')
    const { organizationId } = input
    const trusted = input.verified === true && tx.actor.type === 'backend'
    const own = await findOwnMailbox(tx, name)
    await unlessTaken(name, () =>
      tx.db.insert(organizationDomains).values({
        id,
        instanceId: tx.instance.id,
        organizationId,
        name,
        enrollmentMode,
        ...(own && {
          affiliationEmailAddress: own,
          affiliationVerifiedAt: now,
          affiliationStrategy: 'email_code' as const,
        }),
        ...(trusted && { affiliationVerifiedAt: now, affiliationStrategy: 'admin' as const }),
        createdAt: now,
        updatedAt: now,
      }),
    )
    announce(tx, 'created', { id, organizationId, name })
    if (trusted || own) await enrollPeopleOf(tx, { domainId: id })
    return readDomain(tx, { organizationId, domainId: id })
  })
}

/** An address of the caller at a domain that was proven by a message to it, and not by the word of somebody else. */
async function findOwnMailbox(tx: Tx, name: string): Promise<string | undefined> {
  if (tx.actor.type !== 'user' || tx.actor.impersonatorId !== undefined) return undefined
  const { emailAddresses } = await getUser(tx, tx.actor.userId)
  const byMessage = ['email_code', 'email_link']
  return emailAddresses.find(
    ({ emailAddress, verifiedAt, verificationStrategy }) =>
      verifiedAt !== null && byMessage.includes(verificationStrategy ?? '') && emailAddress.split('@')[1] === name,
  )?.emailAddress
}

export type UpdateDomainInput = DomainKey & {
  enrollmentMode?: unknown
  /** Takes back what the domain has offered to people and they have not taken. */
  deletePending?: boolean | undefined
  /** As with {@link CreateDomainInput}. */
  verified?: boolean | undefined
}

/**
 * Changes how a domain's people come to the organization, or, for the application's server, whether it counts.
 *
 * @throws {UsherError} `forbidden`, `resource_not_found`, `enrollment_mode_not_enabled` or `organization_domain_taken`
 */
export async function updateOrganizationDomain(ctx: Ctx | Tx, input: UpdateDomainInput): Promise<DomainRecord> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_domains:manage')
    refuseIfOff(tx)
    await lockOrganization(tx, input.organizationId)
    const known = await lockDomain(tx, input)
    const enrollmentMode =
      input.enrollmentMode === undefined ? known.enrollmentMode : parseEnrollmentMode(tx, input.enrollmentMode)
    const verified = tx.actor.type === 'backend' ? input.verified : undefined
    const verifiedBefore = Boolean(known.affiliationVerifiedAt ?? known.ownershipVerifiedAt)
    const now = tx.now()
    await unlessTaken(known.name, () =>
      tx.db
        .update(organizationDomains)
        .set({
          enrollmentMode,
          ...(verified === true && !verifiedBefore && { affiliationVerifiedAt: now, affiliationStrategy: 'admin' }),
          ...(verified === false && {
            affiliationVerifiedAt: null,
            affiliationStrategy: null,
            ownershipVerifiedAt: null,
          }),
          updatedAt: now,
        })
        .where(byKey(input)),
    )
    if (input.deletePending || verified === false) await withdrawOffers(tx, known.id)
    if (verified ?? verifiedBefore) await enrollPeopleOf(tx, { domainId: known.id })
    announce(tx, 'updated', known)
    return readDomain(tx, input)
  })
}

/**
 * Takes a domain away, with what it has offered to people. Whoever came by it stays a member, and whoever has asked to
 * become one is still waiting for an answer.
 *
 * @throws {UsherError} `forbidden` or `resource_not_found`
 */
export async function deleteOrganizationDomain(ctx: Ctx | Tx, key: DomainKey): Promise<OrganizationDomain> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, key.organizationId, 'org:sys_domains:manage')
    await lockOrganization(tx, key.organizationId)
    const known = await lockDomain(tx, key)
    await withdrawOffers(tx, known.id)
    await tx.db.delete(organizationDomains).where(byKey(key))
    announce(tx, 'deleted', known)
    return known
  })
}

/** Locks a domain's row; where more than that is changed, its organization is locked before. @throws {UsherError} `resource_not_found` */
export async function lockDomain(tx: Tx, key: DomainKey): Promise<OrganizationDomain> {
  const [locked] = await tx.db.select().from(organizationDomains).where(byKey(key)).for('update')
  if (!locked) throw noSuchDomain()
  return locked
}

/**
 * Marks a domain as proven in one way, if it is not; of several organizations the first one has it, but whoever controls the
 * zone goes before whoever has a mailbox in it.
 *
 * @returns whether this call did it
 * @throws {UsherError} `organization_domain_taken`
 */
export async function markVerified(
  tx: Tx,
  domain: Pick<OrganizationDomain, 'id' | 'organizationId' | 'name'>,
  proof: { affiliation: { emailAddress: string } } | { ownership: { recordValue: string } },
): Promise<boolean> {
  const now = tx.now()
  await lockOrganization(tx, domain.organizationId)
  const [change, condition] =
    'affiliation' in proof
      ? [
          { affiliationVerifiedAt: now, affiliationStrategy: 'email_code' as const },
          // A code proves the mailbox that it was sent to, and not one that was named since.
          and(
            isNull(organizationDomains.affiliationVerifiedAt),
            eq(organizationDomains.affiliationEmailAddress, proof.affiliation.emailAddress),
          ),
        ]
      : [
          { ownershipVerifiedAt: now },
          and(
            isNull(organizationDomains.ownershipVerifiedAt),
            eq(organizationDomains.ownershipRecordValue, proof.ownership.recordValue),
          ),
        ]
  if ('ownership' in proof) await displaceMailboxProof(tx, domain)
  const changed = await unlessTaken(domain.name, () =>
    tx.db
      .update(organizationDomains)
      .set({ ...change, updatedAt: now })
      .where(and(eq(organizationDomains.id, domain.id), condition))
      .returning({ id: organizationDomains.id }),
  )
  if (changed.length === 0) return false
  announce(tx, 'updated', domain)
  await enrollPeopleOf(tx, { domainId: domain.id })
  return true
}

/** Anybody who works somewhere has a mailbox there; that organization's members stay, and it offers nothing more. */
async function displaceMailboxProof(tx: Tx, { id, name }: Pick<OrganizationDomain, 'id' | 'name'>): Promise<void> {
  const displaced = await tx.db
    .update(organizationDomains)
    .set({ affiliationVerifiedAt: null, affiliationStrategy: null, updatedAt: tx.now() })
    .where(
      and(
        eq(organizationDomains.name, name),
        ne(organizationDomains.id, id),
        eq(organizationDomains.affiliationStrategy, 'email_code'),
        isNotNull(organizationDomains.affiliationVerifiedAt),
        isNull(organizationDomains.ownershipVerifiedAt),
      ),
    )
    .returning()
  for (const other of displaced) {
    await withdrawOffers(tx, other.id)
    announce(tx, 'updated', other)
  }
}

/** Tells what became of a domain. */
export function announce(
  tx: Tx,
  what: 'created' | 'updated' | 'deleted',
  { id, organizationId, name }: Pick<OrganizationDomain, 'id' | 'organizationId' | 'name'>,
): void {
  emit(tx, { type: `organizationDomain.${what}`, subject: id, data: { organization_id: organizationId, name } })
}

/** @throws {UsherError} `organization_domains_not_enabled` */
export function refuseIfOff({ instance }: Tx): void {
  if (!instance.settings.organizations.enabled || !instance.settings.organizations.domains)
    throw new UsherError('organization_domains_not_enabled', 'Organizations have no domains here.')
}

/** Absent: people of the domain are invited by somebody. */
function parseEnrollmentMode({ instance }: Tx, value: unknown = 'manual_invitation'): EnrollmentMode {
  const mode = EnrollmentMode.safeParse(value).data
  if (!mode)
    throw new UsherError('form_param_value_invalid', 'There is no such enrollment mode.', { param: 'enrollment_mode' })
  if (mode !== 'manual_invitation' && !instance.settings.organizations.enrollmentModes.includes(mode))
    throw new UsherError('enrollment_mode_not_enabled', 'This enrollment mode is switched off here.', {
      param: 'enrollment_mode',
    })
  return mode
}

async function unlessTaken<T>(name: string, write: () => PromiseLike<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (isUniqueViolation(error, 'organization_domains_name'))
      throw new UsherError('duplicate_record', 'The organization has this domain already.', { param: 'name' })
    if (isUniqueViolation(error, 'organization_domains_verified'))
      throw new UsherError('organization_domain_taken', `Another organization has verified ${name}.`, { param: 'name' })
    throw error
  }
}
