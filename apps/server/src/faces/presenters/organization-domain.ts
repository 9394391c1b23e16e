import type { DomainRecord, MembershipRequest, SuggestionRecord } from '../../domains/organizations/index.ts'
import { recordNameOf } from '../../domains/organizations/index.ts'
import type { UserRecord } from '../../domains/users/index.ts'
import { presentOrganization } from './organization.ts'
import { presentPublicUserData } from './user.ts'

/** @param now what has expired depends on it */
export function presentOrganizationDomain(domain: DomainRecord, now: Date) {
  const affiliation = affiliationOf(domain, now)
  return {
    object: 'organization_domain' as const,
    id: domain.id,
    organization_id: domain.organizationId,
    name: domain.name,
    enrollment_mode: domain.enrollmentMode,
    // One thing under its old name and its new one.
    verification: affiliation,
    affiliation_verification: affiliation,
    ownership_verification: ownershipOf(domain, now),
    affiliation_email_address: domain.affiliationEmailAddress,
    total_pending_invitations: domain.totalPendingInvitations,
    total_pending_suggestions: domain.totalPendingSuggestions,
    created_at: domain.createdAt.getTime(),
    updated_at: domain.updatedAt.getTime(),
  }
}

/** Guesses that a code stands. */
const maxGuesses = 5

function affiliationOf(domain: DomainRecord, now: Date) {
  const { affiliationVerifiedAt, affiliationExpiresAt, affiliationAttempts, affiliationStrategy } = domain
  if (!affiliationVerifiedAt && !affiliationExpiresAt) return null
  return {
    status: affiliationVerifiedAt
      ? 'verified'
      : affiliationAttempts >= maxGuesses
        ? 'failed'
        : statusUntil(affiliationExpiresAt, now),
    strategy: affiliationStrategy ?? 'email_code',
    attempts: affiliationAttempts,
    expires_at: affiliationExpiresAt?.getTime() ?? null,
    verified_at: affiliationVerifiedAt?.getTime() ?? null,
  }
}

function ownershipOf(domain: DomainRecord, now: Date) {
  const { ownershipVerifiedAt, ownershipExpiresAt, ownershipAttempts, ownershipRecordValue } = domain
  if (ownershipRecordValue === null) return null
  return {
    status: ownershipVerifiedAt ? 'verified' : statusUntil(ownershipExpiresAt, now),
    strategy: 'txt',
    attempts: ownershipAttempts,
    expire_at: ownershipExpiresAt?.getTime() ?? null,
    verified_at: ownershipVerifiedAt?.getTime() ?? null,
    txt_record_name: recordNameOf(domain),
    txt_record_value: ownershipRecordValue,
  }
}

const statusUntil = (expiresAt: Date | null, now: Date) => (expiresAt && expiresAt <= now ? 'expired' : 'unverified')

export function presentSuggestion({ organization, ...suggestion }: SuggestionRecord) {
  const { id, name, slug, image_url, has_image } = presentOrganization(organization)
  return {
    object: 'organization_suggestion' as const,
    id: suggestion.id,
    status: suggestion.status,
    public_organization_data: { id, name, slug, image_url, has_image },
    created_at: suggestion.createdAt.getTime(),
    updated_at: suggestion.updatedAt.getTime(),
  }
}

export function presentMembershipRequest(request: MembershipRequest, user: UserRecord | undefined) {
  return {
    object: 'organization_membership_request' as const,
    id: request.id,
    organization_id: request.organizationId,
    status: request.status,
    public_user_data: user ? presentPublicUserData(user) : null,
    created_at: request.createdAt.getTime(),
    updated_at: request.updatedAt.getTime(),
  }
}
