import { and, eq, inArray, sql } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { getUser } from '../users/index.ts'
import { isCommonDomain } from './common-domains.ts'
import { isVerified } from './domains.ts'
import { slugWords } from './names.ts'
import { memberships, organizationDomains, organizations } from './tables.ts'

export type CreationDefaults = {
  name: string
  slug: string
  /** An organization that the person may have looked for, because it has verified the domain of their address. */
  existing: { name: string; domain: string } | null
}

const nothing: CreationDefaults = { name: '', slug: '', existing: null }

/** What the form for a new organization begins with: made from the domain of a proven address that is not everybody's. */
export async function findCreationDefaults(ctx: Ctx, userId: string): Promise<CreationDefaults> {
  const { creationDefaults, slugs } = ctx.instance.settings.organizations
  if (!creationDefaults) return nothing
  return transaction(ctx, async (tx) => {
    const user = await getUser(tx, userId)
    const proven = user.emailAddresses.filter((e) => e.verifiedAt !== null)
    const address = proven.find((e) => e.id === user.primaryEmailAddressId) ?? proven[0]
    const domain = address?.emailAddress.split('@')[1] ?? ''
    if (domain === '' || isCommonDomain(domain)) return nothing
    const words = nameFrom(domain)
    const slug = slugWords(words)
    const [taken] = await tx.db.select({ id: organizations.id }).from(organizations).where(eq(organizations.slug, slug))
    const [existing] = await tx.db
      .select({ name: organizations.name })
      .from(organizationDomains)
      .innerJoin(organizations, eq(organizations.id, organizationDomains.organizationId))
      .where(
        and(
          eq(organizationDomains.name, domain),
          isVerified,
          // One that people are only invited to is not told of.
          inArray(organizationDomains.enrollmentMode, ['automatic_invitation', 'automatic_suggestion']),
          sql`not exists (select 1 from ${memberships} where ${memberships.organizationId} = ${organizations.id}
            and ${memberships.userId} = ${userId})`,
        ),
      )
    return { name: words, slug: slugs && !taken ? slug : '', existing: existing ? { ...existing, domain } : null }
  })
}

/** `acme-labs.co.uk` is called Acme Labs. */
function nameFrom(domain: string): string {
  const labels = domain.split('.').slice(0, -1)
  // Second-level labels under which countries register names, as in `co.uk` and `com.au`.
  if (labels.length > 1 && /^(co|com|org|net|ac|gov|edu|ne|or)$/.test(labels.at(-1) ?? '')) labels.pop()
  const words = (labels.at(-1) ?? '').split('-').filter(Boolean)
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(' ')
}
