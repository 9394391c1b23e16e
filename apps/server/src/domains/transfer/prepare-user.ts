import type { Metadata } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type IdKind, idPrefixes, newId } from '../../kernel/ids.ts'
import { checkDigest, hashPassword } from '../credentials/index.ts'
import type { Instance } from '../instances/index.ts'
import { checkMetadataSize, checkUsername, parsePhoneNumber, type VerifiedBy } from '../users/index.ts'
import { parseEmailAddress } from '../verifications/index.ts'
import type { UserRecord } from './parse-record.ts'

type Owned = { instanceId: string; userId: string }
type Identification = Owned & {
  id: string
  verifiedAt: Date | null
  verificationStrategy: VerifiedBy | null
  reserved: boolean
  createdAt: Date
  updatedAt: Date
}

/** A user who passed every check that needs no database. */
export type PreparedUser = {
  id: string
  /** Rows as they are inserted. */
  row: {
    id: string
    instanceId: string
    externalId: string | null
    username: string | null
    primaryEmailAddressId: string | null
    primaryPhoneNumberId: string | null
    publicMetadata: Metadata
    privateMetadata: Metadata
    unsafeMetadata: Metadata
    createdAt: Date
    updatedAt: Date
  } & Record<string, unknown>
  emailAddresses: (Identification & { emailAddress: string })[]
  phoneNumbers: (Identification & {
    phoneNumber: string
    reservedForSecondFactor: boolean
    defaultSecondFactor: boolean
  })[]
  passwords: (Owned & { hasher: string; hash: string; compromisedAt: Date | null; updatedAt: Date })[]
  totpSecret: string | undefined
  backupCodes: UserRecord['backup_codes']
  externalAccounts: UserRecord['external_accounts']
  passkeys: UserRecord['passkeys']
  memberships: UserRecord['organization_memberships']
  features: UserRecord['features']
}

export type PrepareOptions = { instance: Instance; now: Date; keepIds: boolean }

/**
 * Checks a user by the rules of the server API and gives them their ids.
 *
 * @throws {UsherError} that names the field at fault, and no secret
 */
export async function prepareUser(record: UserRecord, options: PrepareOptions): Promise<PreparedUser> {
  const { instance, now, keepIds } = options
  const idOf = (kind: IdKind, given: string | undefined) =>
    keepIds && given !== undefined && isIdOf(kind, given) ? given : newId(kind)
  const createdAt = record.created_at ?? now
  const stamps = { createdAt, updatedAt: record.updated_at ?? createdAt }

  const id = idOf('user', record.id)
  const owned = { instanceId: instance.id, userId: id }

  const emailAddresses = collect(
    [
      ...record.email_addresses,
      ...record.verified_email_addresses.map((email_address) => ({ email_address, verified: true })),
      ...record.unverified_email_addresses.map((email_address) => ({ email_address, verified: false })),
      ...(record.primary_email_address ? [{ email_address: record.primary_email_address }] : []),
    ].map((given): Given & { email_address: string } => (typeof given === 'string' ? { email_address: given } : given)),
    (given) => parseEmailAddress(given.email_address),
  ).map(([emailAddress, given]) => ({
    id: idOf('identification', given.id),
    ...owned,
    emailAddress,
    ...verification(given, stamps),
    given,
  }))
  const phoneNumbers = collect(
    [
      ...record.phone_numbers,
      ...record.verified_phone_numbers.map((phone_number) => ({ phone_number, verified: true })),
      ...record.unverified_phone_numbers.map((phone_number) => ({ phone_number, verified: false })),
      ...(record.primary_phone_number ? [{ phone_number: record.primary_phone_number }] : []),
    ].map((given): Given & { phone_number: string } => (typeof given === 'string' ? { phone_number: given } : given)),
    (given) => parsePhoneNumber(instance, given.phone_number),
  ).map(([phoneNumber, given]) => ({
    id: idOf('identification', given.id),
    ...owned,
    phoneNumber,
    reservedForSecondFactor: given.reserved_for_second_factor ?? false,
    defaultSecondFactor: given.default_second_factor ?? false,
    ...verification(given, stamps),
    given,
  }))

  const username = record.username === null ? null : checkUsername(instance, record.username)
  // Where the person comes from stays known: applications have that id in their own tables.
  const externalId = record.external_id ?? (record.id !== undefined && record.id !== id ? record.id : null)
  if (emailAddresses.length + phoneNumbers.length === 0 && username === null && externalId === null && !keepIds)
    throw new UsherError('form_param_missing', 'there is no address, number, username or id', {
      param: 'email_address',
    })

  const metadata = {
    publicMetadata: record.public_metadata ?? {},
    privateMetadata: record.private_metadata ?? {},
    unsafeMetadata: record.unsafe_metadata ?? {},
  }
  checkMetadataSize(metadata)
  if (record.totp_secret && !/^[A-Z2-7]{16,128}$/.test(plainSecret(record.totp_secret)))
    throw new UsherError('form_param_format_invalid', 'totp_secret is not Base32 of at least 80 bits', {
      param: 'totp_secret',
    })

  return {
    id,
    row: {
      id,
      instanceId: instance.id,
      externalId,
      username,
      firstName: record.first_name,
      lastName: record.last_name,
      locale: record.locale,
      primaryEmailAddressId: primaryOf(
        emailAddresses,
        record.primary_email_address ? parseEmailAddress(record.primary_email_address) : undefined,
        record.primary_email_address_id,
      ),
      primaryPhoneNumberId: primaryOf(
        phoneNumbers,
        record.primary_phone_number ? parsePhoneNumber(instance, record.primary_phone_number) : undefined,
        record.primary_phone_number_id,
      ),
      ...metadata,
      banned: record.banned ?? false,
      locked: record.locked ?? false,
      lockedUntil: record.locked_until ?? null,
      failedAttempts: 0,
      bypassClientTrust: record.bypass_client_trust ?? false,
      mfaEnabledAt: record.mfa_enabled_at ?? (hasSecondFactor(record, phoneNumbers) ? now : null),
      mfaDisabledAt: record.mfa_disabled_at ?? null,
      createOrganizationEnabled: record.create_organization_enabled ?? true,
      createOrganizationsLimit: record.create_organizations_limit ?? null,
      deleteSelfEnabled: record.delete_self_enabled ?? true,
      legalAcceptedAt: record.legal_accepted_at ?? null,
      lastSignInAt: record.last_sign_in_at ?? null,
      lastActiveAt: record.last_active_at ?? null,
      ...stamps,
    },
    emailAddresses: emailAddresses.map(({ given: _, ...row }) => row),
    phoneNumbers: phoneNumbers.map(({ given: _, ...row }) => row),
    passwords: await passwordsOf(record, owned, stamps.updatedAt),
    totpSecret: record.totp_secret ? plainSecret(record.totp_secret) : undefined,
    backupCodes: record.backup_codes,
    externalAccounts: record.external_accounts,
    passkeys: record.passkeys,
    memberships: record.organization_memberships,
    features: record.features,
  }
}

/** Whether an id has the shape that ours have: the prefix of its kind and 27 letters and digits. */
export function isIdOf(kind: IdKind, id: string): boolean {
  return id.startsWith(`${idPrefixes[kind]}_`) && /^[0-9A-Za-z]{27}$/.test(id.slice(idPrefixes[kind].length + 1))
}

type Given = {
  id?: string | undefined
  verified?: boolean
  verified_at?: Date | null | undefined
  verification_strategy?: string | null | undefined
  verification?: { status?: string | null | undefined } | null | undefined
  reserved?: boolean | null | undefined
  primary?: boolean | null | undefined
  reserved_for_second_factor?: boolean | null | undefined
  default_second_factor?: boolean | null | undefined
  created_at?: Date | null | undefined
  updated_at?: Date | null | undefined
}

/** One entry for each address or number: the first that is said about it counts. */
function collect<T extends Given>(all: T[], parse: (given: T) => string): [string, T][] {
  const known = new Map<string, T>()
  for (const given of all) {
    const value = parse(given)
    if (!known.has(value)) known.set(value, given)
  }
  return [...known]
}

/** What a file lists counts as proven, as with the server API, unless it says otherwise. */
function verification(given: Given, stamps: { createdAt: Date; updatedAt: Date }) {
  const reserved = given.reserved ?? false
  const isVerified =
    given.verified_at !== undefined
      ? given.verified_at !== null
      : (given.verified ?? (given.verification ? given.verification.status === 'verified' : !reserved))
  return {
    verifiedAt: isVerified ? (given.verified_at ?? stamps.createdAt) : null,
    verificationStrategy: isVerified ? ((given.verification_strategy ?? 'admin') as VerifiedBy) : null,
    reserved,
    createdAt: given.created_at ?? stamps.createdAt,
    updatedAt: given.updated_at ?? given.created_at ?? stamps.updatedAt,
  }
}

type Listed = { id: string; verifiedAt: Date | null; given: Given; emailAddress?: string; phoneNumber?: string }

/** What was never proven is not how the person is reached. */
function primaryOf(listed: Listed[], value: string | undefined, id: string | null | undefined): string | null {
  const verified = listed.filter((one) => one.verifiedAt !== null)
  const isNamed = ({ given, emailAddress, phoneNumber }: Listed) =>
    given.primary === true ||
    (value !== undefined && value === (emailAddress ?? phoneNumber)) ||
    (given.id !== undefined && given.id === id)
  const named = verified.find(isNamed)
  // Where a file says of each whether it is the primary one, none may be.
  const isSaid = verified.some((one) => typeof one.given.primary === 'boolean')
  return (named ?? (isSaid ? undefined : verified[0]))?.id ?? null
}

async function passwordsOf(record: UserRecord, owned: Owned, updatedAt: Date): Promise<PreparedUser['passwords']> {
  const { password, password_digest: digest, password_hasher: hasher } = record
  if (typeof password === 'object' && password !== null) {
    checkDigest(password.hasher, password.digest)
    const { hasher, digest: hash, compromised_at: compromisedAt, updated_at } = password
    return [{ ...owned, hasher, hash, compromisedAt: compromisedAt ?? null, updatedAt: updated_at ?? updatedAt }]
  }
  const hash = digest || (hasher ? password : undefined)
  if (hash) {
    if (!hasher) throw new UsherError('form_param_missing', 'password_hasher is missing', { param: 'password_hasher' })
    checkDigest(hasher, hash)
    return [{ ...owned, hasher, hash, compromisedAt: null, updatedAt }]
  }
  if (!password) return []
  return [{ ...owned, hasher: 'argon2id', hash: await hashPassword(password), compromisedAt: null, updatedAt }]
}

const plainSecret = (secret: string) => secret.replace(/[\s=-]/g, '').toUpperCase()

function hasSecondFactor(
  record: UserRecord,
  numbers: { verifiedAt: Date | null; reservedForSecondFactor: boolean }[],
): boolean {
  return Boolean(record.totp_secret) || numbers.some((n) => n.verifiedAt !== null && n.reservedForSecondFactor)
}
