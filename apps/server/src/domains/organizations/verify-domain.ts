import { and, eq, inArray, isNull, lt, lte, or, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { type ErrorCode, UsherError } from '../../kernel/errors.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { checkCode, parseEmailAddress, sendCode } from '../verifications/index.ts'
import {
  type DomainKey,
  type DomainRecord,
  findDomains,
  lockDomain,
  markVerified,
  noSuchDomain,
  readDomain,
  refuseIfOff,
} from './domains.ts'
import { requirePermission } from './require-permission.ts'
import { organizationDomains } from './tables.ts'

/** Codes that one organization may have sent in an hour: the mailboxes are of people who did not ask for them. */
const codesPerHour = 20
/**
 * Codes for one domain in a day, whoever asks for them: organizations and mailboxes can be made up without end, and each
 * code stands five guesses at a proof for all of the domain. Its records remain as a way.
 */
const codesPerDomain = { max: 50, windowMs: 24 * 3600_000 }
/** Questions to the domain name system that one organization may cause in a minute. */
const lookupsPerMinute = 30
/** Days in which a record has to be published. */
const recordDays = 30
/** Domains proven by one call. */
const maxBulk = 20

/** The name under which the record of a domain is looked for. */
export const recordNameOf = ({ name }: { name: string }): string => `_usher-challenge.${name}`

/**
 * Sends a code to a mailbox at the domain.
 *
 * @throws {UsherError} `forbidden`, `resource_not_found`, `verification_already_verified`, `form_param_format_invalid`,
 *   `organization_domain_mismatch` (an address elsewhere) or `too_many_requests`
 */
export async function prepareAffiliation(
  ctx: Ctx | Tx,
  input: DomainKey & { emailAddress: unknown },
): Promise<DomainRecord> {
  return transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_domains:manage')
    refuseIfOff(tx)
    const emailAddress = parseEmailAddress(input.emailAddress, 'affiliation_email_address')
    const domain = await lockDomain(tx, input)
    if (domain.affiliationVerifiedAt) throw alreadyVerified()
    // The whole of what follows the last `@`: a mailbox at `mail.example.com` says nothing about `example.com`.
    if (emailAddress.slice(emailAddress.lastIndexOf('@') + 1) !== domain.name)
      throw new UsherError('organization_domain_mismatch', `This is not an address at ${domain.name}.`, {
        param: 'affiliation_email_address',
      })
    const now = tx.now()
    const limit = { max: codesPerHour, windowMs: 3600_000 }
    countAttempt(tx.database, `${tx.instance.id}:domain_codes:${input.organizationId}`, limit, now)
    countAttempt(tx.database, `${tx.instance.id}:domain_codes_of:${domain.name}`, codesPerDomain, now)
    const code = await sendCode(tx, { purpose: 'organization_domain', subjectId: domain.id, emailAddress })
    await tx.db
      .update(organizationDomains)
      .set({ affiliationEmailAddress: emailAddress, affiliationExpiresAt: code.expiresAt, updatedAt: now })
      .where(eq(organizationDomains.id, domain.id))
    return readDomain(tx, input)
  })
}

/**
 * Verifies a domain by the code that was sent to a mailbox at it.
 *
 * @param ctx not inside a transaction: a wrong guess stays counted
 * @throws {UsherError} `forbidden`, `resource_not_found`, `organization_domain_taken`, `verification_already_verified`, or
 *   as `checkCode`
 */
export async function attemptAffiliation(ctx: Ctx, input: DomainKey & { code: unknown }): Promise<DomainRecord> {
  await transaction(ctx, async (tx) => {
    await requirePermission(tx, input.organizationId, 'org:sys_domains:manage')
    refuseIfOff(tx)
    const domain = await readDomain(tx, input)
    if (domain.affiliationVerifiedAt) throw alreadyVerified()
  })
  const { recipient } = await checkCode(ctx, {
    purpose: 'organization_domain',
    subjectId: input.domainId,
    code: input.code,
  })
  return transaction(ctx, async (tx) => {
    const domain = await readDomain(tx, input)
    if (!(await markVerified(tx, domain, { affiliation: { emailAddress: recipient } }))) throw alreadyVerified()
    return readDomain(tx, input)
  })
}

const alreadyVerified = () => new UsherError('verification_already_verified', 'This domain is verified already.')

/** What came of domains that were asked about together. */
export type BulkOutcome = { data: DomainRecord[]; errors: { id: string; code: ErrorCode }[] }

type BulkInput = { organizationId: string; domainIds: string[] }

/**
 * Makes the values that TXT records of domains have to say. A value that is still good stays, so that a record which was
 * published is not worthless because somebody opened the page again.
 *
 * @throws {UsherError} `forbidden` or `form_param_value_invalid` for too many
 */
export async function prepareOwnership(ctx: Ctx | Tx, input: BulkInput): Promise<BulkOutcome> {
  return transaction(ctx, async (tx) => {
    const { found, errors } = await openDomains(tx, input)
    const now = tx.now()
    const expiresAt = new Date(now.getTime() + recordDays * 24 * 3600_000)
    for (const domain of found) {
      if (domain.ownershipVerifiedAt) errors.push({ id: domain.id, code: 'verification_already_verified' })
      else if (!domain.ownershipRecordValue || !domain.ownershipExpiresAt || domain.ownershipExpiresAt <= now)
        await tx.db
          .update(organizationDomains)
          .set({
            ownershipRecordValue: `usher-verification=${randomBase62(32)}`,
            ownershipAttempts: 0,
            ownershipExpiresAt: expiresAt,
            updatedAt: now,
          })
          // Of two who ask at once, both are told the value of the first.
          .where(
            and(
              eq(organizationDomains.id, domain.id),
              isNull(organizationDomains.ownershipVerifiedAt),
              or(isNull(organizationDomains.ownershipRecordValue), lte(organizationDomains.ownershipExpiresAt, now)),
            ),
          )
    }
    return { data: await reread(tx, input, errors), errors }
  })
}

/**
 * Looks the records of domains up and verifies those that say what they have to.
 *
 * @param ctx not inside a transaction: other servers are asked
 * @throws {UsherError} `forbidden`, `too_many_requests` or `form_param_value_invalid` for too many
 */
export async function attemptOwnership(ctx: Ctx, input: BulkInput): Promise<BulkOutcome> {
  const { asked, errors } = await transaction(ctx, async (tx) => {
    const { found, errors } = await openDomains(tx, input)
    const now = tx.now()
    const asked: { id: string; name: string; value: string }[] = []
    for (const domain of found) {
      if (domain.ownershipVerifiedAt) errors.push({ id: domain.id, code: 'verification_already_verified' })
      else if (!domain.ownershipRecordValue) errors.push({ id: domain.id, code: 'verification_failed' })
      else if (!domain.ownershipExpiresAt || domain.ownershipExpiresAt <= now)
        errors.push({ id: domain.id, code: 'verification_expired' })
      else asked.push({ id: domain.id, name: domain.name, value: domain.ownershipRecordValue })
    }
    const limit = { max: lookupsPerMinute, windowMs: 60_000 }
    for (const _ of asked)
      countAttempt(tx.database, `${tx.instance.id}:domain_records:${input.organizationId}`, limit, now)
    const ids = asked.map(({ id }) => id)
    if (ids.length > 0)
      await tx.db
        .update(organizationDomains)
        .set({ ownershipAttempts: sql`${organizationDomains.ownershipAttempts} + 1` })
        // A counter that people see, not a limit: it ends before it is too large.
        .where(and(inArray(organizationDomains.id, ids), lt(organizationDomains.ownershipAttempts, 1_000_000)))
    return { asked, errors }
  })
  const answers = await Promise.all(
    asked.map(async (domain) => ({ ...domain, values: await lookUp(ctx, recordNameOf(domain)) })),
  )
  for (const { id, value, values } of answers) {
    if (!values) errors.push({ id, code: 'unavailable' })
    else if (!values.some((v) => v.trim() === value)) errors.push({ id, code: 'verification_failed' })
    else {
      const code = await settle(ctx, { organizationId: input.organizationId, domainId: id }, value)
      if (code) errors.push({ id, code })
    }
  }
  return { data: await transaction(ctx, (tx) => reread(tx, input, errors)), errors }
}

/** Undefined: nobody could be asked. */
async function lookUp(ctx: Ctx, name: string): Promise<string[] | undefined> {
  try {
    return await ctx.dns.txt(name)
  } catch (error) {
    ctx.log.warn({ err: error }, 'a TXT record could not be looked up')
    return undefined
  }
}

/** In a transaction of its own, so that one domain that is taken does not undo the others. */
async function settle(ctx: Ctx, key: DomainKey, recordValue: string): Promise<ErrorCode | undefined> {
  try {
    return await transaction(ctx, async (tx) => {
      const domain = await readDomain(tx, key)
      return (await markVerified(tx, domain, { ownership: { recordValue } }))
        ? undefined
        : 'verification_already_verified'
    })
  } catch (error) {
    if (error instanceof UsherError) return error.code
    throw error
  }
}

async function openDomains(tx: Tx, { organizationId, domainIds }: BulkInput) {
  await requirePermission(tx, organizationId, 'org:sys_domains:manage')
  refuseIfOff(tx)
  if (domainIds.length > maxBulk)
    throw new UsherError('form_param_value_invalid', `${maxBulk} domains at most are proven at a time.`, {
      param: 'organization_domain_ids',
    })
  const found = await findDomains(tx, ofOrganization({ organizationId, domainIds }))
  const errors = domainIds
    .filter((id) => !found.some((domain) => domain.id === id))
    .map((id) => ({ id, code: noSuchDomain().code }))
  return { found, errors }
}

/** Those of the domains that nothing was wrong with. */
async function reread(tx: Tx, input: BulkInput, errors: BulkOutcome['errors']): Promise<DomainRecord[]> {
  const found = await findDomains(tx, ofOrganization(input))
  return found.filter(({ id }) => !errors.some((error) => error.id === id))
}

const ofOrganization = ({ organizationId, domainIds }: BulkInput) =>
  and(
    eq(organizationDomains.organizationId, organizationId),
    inArray(organizationDomains.id, domainIds.length > 0 ? domainIds : ['']),
  )
