import type { MembershipRecord } from '../../domains/organizations/index.ts'
import type { EmailAddress, UserRecord } from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { defaultImageUrl } from './image.ts'
import { presentMembership } from './organization.ts'
import { presentVerification } from './verification.ts'

/** What other people may see of somebody. */
export function presentPublicUserData(user: UserRecord) {
  return {
    user_id: user.id,
    first_name: user.firstName,
    last_name: user.lastName,
    image_url: defaultImageUrl(user.id, user.firstName ?? primaryAddress(user) ?? '?'),
    has_image: false,
    identifier: primaryAddress(user) ?? user.username ?? '',
    username: user.username,
    banned: user.banned,
  }
}

function primaryAddress(user: UserRecord): string | undefined {
  return (user.emailAddresses.find((e) => e.id === user.primaryEmailAddressId) ?? user.emailAddresses[0])?.emailAddress
}

export function presentEmailAddress(address: EmailAddress) {
  return {
    object: 'email_address' as const,
    id: address.id,
    email_address: address.emailAddress,
    reserved: false,
    verification: presentVerification({
      object: address.verificationStrategy === 'admin' ? 'verification_admin' : 'verification_otp',
      status: address.verifiedAt ? 'verified' : 'unverified',
      strategy: address.verificationStrategy ?? 'email_code',
      attempts: null,
      expire_at: null,
    }),
    linked_to: [],
    matches_sso_connection: false,
    created_at: address.createdAt.getTime(),
    updated_at: address.updatedAt.getTime(),
  }
}

/** A user as they see themselves; with memberships, because the browser's `has()` reads them from here. */
export function presentUser(_ctx: Ctx, user: UserRecord, memberships: MembershipRecord[]) {
  return {
    ...commonFields(user),
    organization_memberships: memberships.map((m) => presentMembership(m, user)),
  }
}

/** A user as the application's server sees them. */
export function presentUserToBackend(user: UserRecord) {
  return {
    ...commonFields(user),
    private_metadata: user.privateMetadata,
    banned: user.banned,
    locked: user.locked,
    lockout_expires_in_seconds: null,
    verification_attempts_remaining: null,
    last_active_at: user.lastActiveAt?.getTime() ?? null,
    profile_image_url: defaultImageUrl(user.id, user.firstName ?? '?'),
    password_last_updated_at: null,
    mfa_enabled_at: null,
    mfa_disabled_at: null,
    locale: null,
  }
}

function commonFields(user: UserRecord) {
  const { image_url, has_image } = presentPublicUserData(user)
  return {
    object: 'user' as const,
    id: user.id,
    external_id: user.externalId,
    username: user.username,
    first_name: user.firstName,
    last_name: user.lastName,
    image_url,
    has_image,
    profile_image_id: user.id,
    primary_email_address_id: user.primaryEmailAddressId,
    primary_phone_number_id: null,
    primary_web3_wallet_id: null,
    email_addresses: user.emailAddresses.map(presentEmailAddress),
    phone_numbers: [],
    web3_wallets: [],
    external_accounts: [],
    enterprise_accounts: [],
    saml_accounts: [],
    passkeys: [],
    password_enabled: user.passwordEnabled,
    totp_enabled: false,
    backup_code_enabled: false,
    two_factor_enabled: false,
    public_metadata: user.publicMetadata,
    unsafe_metadata: user.unsafeMetadata,
    last_sign_in_at: user.lastSignInAt?.getTime() ?? null,
    create_organization_enabled: user.createOrganizationEnabled,
    create_organizations_limit: null,
    delete_self_enabled: user.deleteSelfEnabled,
    legal_accepted_at: user.legalAcceptedAt?.getTime() ?? null,
    created_at: user.createdAt.getTime(),
    updated_at: user.updatedAt.getTime(),
  }
}
