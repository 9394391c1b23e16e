import type { MembershipRecord } from '../../domains/organizations/index.ts'
import type {
  EmailAddress,
  ExternalAccount,
  PasskeySummary,
  PhoneNumber,
  UserRecord,
} from '../../domains/users/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { defaultImageUrl } from './image.ts'
import { presentMembership } from './organization.ts'
import { presentVerification } from './verification.ts'

/** What other people may see of somebody. */
export function presentPublicUserData(user: UserRecord) {
  const identifier = identifierOf(user)
  return {
    user_id: user.id,
    first_name: user.firstName,
    last_name: user.lastName,
    image_url: user.imageUrl ?? defaultImageUrl(user.id, user.firstName ?? identifier),
    has_image: user.imageUrl !== null,
    identifier,
    username: user.username,
    banned: user.banned,
  }
}

/** What a person goes by in lists. */
function identifierOf(user: UserRecord): string {
  const address = user.emailAddresses.find((e) => e.id === user.primaryEmailAddressId) ?? user.emailAddresses[0]
  const number = user.phoneNumbers.find((n) => n.id === user.primaryPhoneNumberId) ?? user.phoneNumbers[0]
  return address?.emailAddress ?? number?.phoneNumber ?? user.username ?? '?'
}

/** @param user for the provider's accounts that the address is linked to */
export function presentEmailAddress(address: EmailAddress, user?: UserRecord) {
  const linked = (user?.externalAccounts ?? []).filter(
    (a) => a.verifiedAt !== null && a.emailAddress === address.emailAddress,
  )
  return {
    object: 'email_address' as const,
    id: address.id,
    email_address: address.emailAddress,
    reserved: address.reserved,
    verification: identificationVerification(address, 'email_code'),
    linked_to: linked.map((a) => ({ id: a.id, type: `oauth_${a.provider}` })),
    matches_sso_connection: false,
    created_at: address.createdAt.getTime(),
    updated_at: address.updatedAt.getTime(),
  }
}

export function presentPhoneNumber(number: PhoneNumber) {
  return {
    object: 'phone_number' as const,
    id: number.id,
    phone_number: number.phoneNumber,
    reserved: number.reserved,
    reserved_for_second_factor: number.reservedForSecondFactor,
    default_second_factor: number.defaultSecondFactor,
    verification: identificationVerification(number, 'phone_code'),
    linked_to: [],
    created_at: number.createdAt.getTime(),
    updated_at: number.updatedAt.getTime(),
  }
}

function identificationVerification(identification: EmailAddress | PhoneNumber, usual: string) {
  const strategy = identification.verificationStrategy ?? usual
  return presentVerification({
    object: verificationObject(strategy),
    status: identification.verifiedAt ? 'verified' : 'unverified',
    strategy,
    attempts: null,
    expire_at: null,
  })
}

function verificationObject(strategy: string): string {
  if (strategy === 'admin' || strategy === 'ticket' || strategy === 'email_link') return `verification_${strategy}`
  return strategy.startsWith('from_oauth') ? 'verification_from_oauth' : 'verification_otp'
}

export function presentExternalAccount(account: ExternalAccount) {
  return {
    object: 'external_account' as const,
    id: account.id,
    provider: `oauth_${account.provider}`,
    identification_id: account.id,
    external_account_id: account.id,
    provider_user_id: account.providerUserId ?? '',
    approved_scopes: account.approvedScopes,
    email_address: account.emailAddress,
    first_name: account.firstName ?? '',
    last_name: account.lastName ?? '',
    image_url: account.imageUrl ?? '',
    avatar_url: account.imageUrl ?? '',
    username: account.username,
    phone_number: account.phoneNumber,
    public_metadata: account.publicMetadata,
    label: account.label,
    verification: {
      ...presentVerification({
        object: 'verification_oauth',
        status: account.verifiedAt ? 'verified' : account.verificationError ? 'failed' : 'unverified',
        strategy: `oauth_${account.provider}`,
        attempts: null,
        expire_at: null,
      }),
      error: account.verificationError,
    },
    created_at: account.createdAt.getTime(),
    updated_at: account.updatedAt.getTime(),
  }
}

export function presentPasskey(passkey: PasskeySummary) {
  return {
    object: 'passkey' as const,
    id: passkey.id,
    name: passkey.name,
    verification: presentVerification({
      object: 'verification_passkey',
      status: 'verified',
      strategy: 'passkey',
      attempts: null,
      expire_at: null,
    }),
    last_used_at: passkey.lastUsedAt,
    created_at: passkey.createdAt,
    updated_at: passkey.updatedAt,
  }
}

/** A user as they see themselves; with memberships, because the browser's `has()` reads them from here. */
export function presentUser(ctx: Ctx, user: UserRecord, memberships: MembershipRecord[]) {
  const common = commonFields(user)
  return {
    ...common,
    // The components offer to create an organization where this is true.
    create_organization_enabled: common.create_organization_enabled && ctx.instance.settings.organizations.creation,
    organization_memberships: memberships.map((m) => presentMembership(m, user)),
  }
}

/** A user as the application's server sees them. */
export function presentUserToBackend(user: UserRecord) {
  const common = commonFields(user)
  const lockedForMs = user.lockedUntil ? user.lockedUntil.getTime() - Date.now() : null
  return {
    ...common,
    private_metadata: user.privateMetadata,
    banned: user.banned,
    locked: user.locked || (lockedForMs !== null && lockedForMs > 0),
    lockout_expires_in_seconds: lockedForMs !== null && lockedForMs > 0 ? Math.ceil(lockedForMs / 1000) : null,
    verification_attempts_remaining: null,
    last_active_at: user.lastActiveAt?.getTime() ?? null,
    profile_image_url: common.image_url,
    password_last_updated_at: user.passwordUpdatedAt?.getTime() ?? null,
    mfa_enabled_at: user.mfaEnabledAt?.getTime() ?? null,
    mfa_disabled_at: user.mfaDisabledAt?.getTime() ?? null,
    bypass_client_trust: user.bypassClientTrust,
    locale: user.locale,
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
    profile_image_id: user.imageId ?? user.id,
    primary_email_address_id: user.primaryEmailAddressId,
    primary_phone_number_id: user.primaryPhoneNumberId,
    primary_web3_wallet_id: null,
    email_addresses: user.emailAddresses.map((address) => presentEmailAddress(address, user)),
    phone_numbers: user.phoneNumbers.map(presentPhoneNumber),
    web3_wallets: [],
    external_accounts: user.externalAccounts.map(presentExternalAccount),
    enterprise_accounts: [],
    saml_accounts: [],
    passkeys: user.passkeys.map(presentPasskey),
    password_enabled: user.passwordEnabled,
    totp_enabled: user.totpEnabled,
    backup_code_enabled: user.backupCodeEnabled,
    two_factor_enabled: user.twoFactorEnabled,
    public_metadata: user.publicMetadata,
    unsafe_metadata: user.unsafeMetadata,
    last_sign_in_at: user.lastSignInAt?.getTime() ?? null,
    create_organization_enabled: user.createOrganizationEnabled,
    create_organizations_limit: user.createOrganizationsLimit,
    delete_self_enabled: user.deleteSelfEnabled,
    legal_accepted_at: user.legalAcceptedAt?.getTime() ?? null,
    created_at: user.createdAt.getTime(),
    updated_at: user.updatedAt.getTime(),
  }
}
