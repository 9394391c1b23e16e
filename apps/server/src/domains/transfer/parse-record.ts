import { z } from 'zod'
import { UsherError } from '../../kernel/errors.ts'
import { EnrollmentMode } from '../instances/index.ts'

const text = z.string().max(256)
const optionalText = text.nullish().transform((value) => value || null)
const Metadata = z.union([z.record(z.string(), z.unknown()), z.string().transform(parseObject)]).nullish()

/** A moment as milliseconds since 1970 or as RFC 3339 text. */
const Instant = z
  .union([z.number(), z.string().min(1)])
  .transform((value, refinement) => {
    const date = new Date(typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value)
    if (!Number.isNaN(date.getTime()) && date.getUTCFullYear() >= 1900 && date.getUTCFullYear() < 10_000) return date
    refinement.addIssue({ code: 'custom', message: 'is not a moment in time' })
    return z.NEVER
  })
  .nullish()

/** Tables write yes and no as words. */
const Flag = z.union([z.boolean(), z.stringbool()]).nullish()

const Identification = z.looseObject({
  id: text.optional(),
  verified_at: Instant,
  verification_strategy: text.nullish(),
  /** As the server API shows it. */
  verification: z.looseObject({ status: text.nullish() }).nullish(),
  reserved: Flag,
  primary: Flag,
  created_at: Instant,
  updated_at: Instant,
})
const EmailAddress = z.union([z.string(), Identification.extend({ email_address: z.string() })])
const PhoneNumber = z.union([
  z.string(),
  Identification.extend({ phone_number: z.string(), reserved_for_second_factor: Flag, default_second_factor: Flag }),
])

/** Several values in one field of a table stand between bars, commas, semicolons or spaces. */
const list = <T extends z.ZodType>(item: T) =>
  z
    .preprocess(
      (value) => (typeof value === 'string' ? value.split(/[|,;\s]+/).filter((part) => part !== '') : value),
      z.union([z.array(item).max(100), item.transform((one) => [one])]).nullish(),
    )
    .transform((value) => value ?? [])

const Source = z.enum(['direct', 'domain', 'directory']).default('direct')
const Features = z.record(z.string().max(50), z.boolean()).default({})

const Membership = z.object({
  /** Id or slug. */
  organization: text,
  /** Key, with or without `org:`. */
  role: text.default('org:member'),
  role_source: Source,
  /** Beside the primary one. */
  roles: z
    .array(z.object({ role: text, source: Source }))
    .max(100)
    .default([]),
  permissions: z
    .array(z.object({ permission: text, source: Source }))
    .max(500)
    .default([]),
  /** By name. */
  groups: z
    .array(z.object({ group: text, source: Source }))
    .max(1000)
    .default([]),
  public_metadata: Metadata,
  private_metadata: Metadata,
  created_at: Instant,
  updated_at: Instant,
})

const ExternalAccount = z.object({
  id: text.optional(),
  provider: z.string().regex(/^[a-z0-9_]{1,64}$/),
  provider_user_id: text.min(1),
  email_address: z.string().max(254).default(''),
  username: z.string().max(256).nullish(),
  first_name: z.string().max(256).nullish(),
  last_name: z.string().max(256).nullish(),
  image_url: z.string().max(2048).nullish(),
  phone_number: z.string().max(64).nullish(),
  approved_scopes: z.string().max(2048).default(''),
  public_metadata: Metadata,
  label: z.string().max(256).nullish(),
  verified_at: Instant,
  created_at: Instant,
  updated_at: Instant,
})

const Passkey = z.object({
  id: text.optional(),
  name: text,
  credential_id: z.string().min(1).max(2048),
  public_key: z.string().min(1).max(4096),
  sign_count: z.number().int().min(0).default(0),
  transports: z.array(text).max(10).default([]),
  backed_up: z.boolean().default(false),
  verified_at: Instant,
  last_used_at: Instant,
  created_at: Instant,
  updated_at: Instant,
})

const BackupCode = z.object({ hash: z.string().min(4).max(512), used_at: Instant, created_at: Instant })

/** One user, under the names that this server, the vendor's exports and its migration files use, in one spelling. */
const UserRecord = z.object({
  id: text.min(1).optional(),
  external_id: optionalText,
  username: optionalText,
  first_name: optionalText,
  last_name: optionalText,
  locale: z.preprocess(
    (v) => v || null,
    z
      .string()
      .regex(/^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/)
      .nullable(),
  ),
  primary_email_address: z.string().nullish(),
  primary_phone_number: z.string().nullish(),
  primary_email_address_id: text.nullish(),
  primary_phone_number_id: text.nullish(),
  email_addresses: list(EmailAddress),
  verified_email_addresses: list(z.string()),
  unverified_email_addresses: list(z.string()),
  // Spaces belong to phone numbers, so only the other signs separate them.
  phone_numbers: z.preprocess(splitNumbers, list(PhoneNumber)),
  verified_phone_numbers: z.preprocess(splitNumbers, list(z.string())),
  unverified_phone_numbers: z.preprocess(splitNumbers, list(z.string())),
  external_accounts: z.array(ExternalAccount).max(50).default([]),
  // The server API lists passkeys without their keys: those are not there to be taken over.
  passkeys: z.preprocess(
    (value) => (Array.isArray(value) ? value.filter((key) => key?.credential_id) : value),
    z.array(Passkey).max(50).default([]),
  ),
  /** In plain text when no hasher is named; else the digest, as in the vendor's migration files. */
  password: z
    .union([
      z.string().max(2048),
      z.looseObject({ hasher: text, digest: z.string(), compromised_at: Instant, updated_at: Instant }),
    ])
    .nullish(),
  password_digest: z.string().max(2048).nullish(),
  password_hasher: text.nullish(),
  totp_secret: z.string().max(200).nullish(),
  backup_codes: z
    .array(z.union([z.string().min(1).max(100), BackupCode]))
    .max(50)
    .default([]),
  organization_memberships: z.array(Membership).max(500).default([]),
  /** Given (true) or refused (false) directly. */
  features: Features,
  public_metadata: Metadata,
  private_metadata: Metadata,
  unsafe_metadata: Metadata,
  banned: Flag,
  locked: Flag,
  locked_until: Instant,
  bypass_client_trust: Flag,
  create_organization_enabled: Flag,
  create_organizations_limit: z.coerce.number().int().min(0).max(1_000_000).nullish(),
  delete_self_enabled: Flag,
  legal_accepted_at: Instant,
  mfa_enabled_at: Instant,
  mfa_disabled_at: Instant,
  last_sign_in_at: Instant,
  last_active_at: Instant,
  created_at: Instant,
  updated_at: Instant,
})
export type UserRecord = z.infer<typeof UserRecord>

/** As this server makes them: nothing that separates them in lists and tokens can be part of one. */
const permissionKey = z.string().regex(/^org:(?!sys_)[a-z0-9_]{1,50}:[a-z0-9_]{1,50}$/, 'looks like org:tasks:write')
const roleKey = z.string().regex(/^org:[a-z0-9_]{1,50}$/, 'looks like org:reader')

const PermissionRecord = z.object({ key: permissionKey, name: text, description: z.string().max(1024).default('') })
const FeatureRecord = z.object({
  slug: z.string().regex(/^(?!sys_)[a-z0-9_]{1,50}$/),
  name: text,
  description: z.string().max(1024).default(''),
  avatar_url: z.string().max(2048).nullish(),
  enabled: z.boolean().default(true),
  default_for: z.enum(['nobody', 'organizations', 'users', 'everyone']).default('nobody'),
})
const RoleSetRecord = z.object({
  key: text,
  name: text,
  description: z.string().max(1024).default(''),
  roles: z.array(text).min(1).max(100),
  default_role: text,
  creator_role: text,
})
const RoleRecord = z.object({
  key: roleKey,
  name: text,
  description: z.string().max(1024).default(''),
  is_creator_eligible: z.boolean().default(false),
  permissions: z.array(text).max(1000).default([]),
  in_initial_role_set: z.boolean().default(true),
})
const Group = z.object({
  name: text.min(1),
  description: z.string().max(1024).default(''),
  source: Source,
  roles: z.array(text).max(100).default([]),
})
const OrganizationDomainRecord = z.object({
  name: text,
  enrollment_mode: EnrollmentMode.default('manual_invitation'),
  affiliation_email_address: text.nullish(),
  affiliation_strategy: z.enum(['email_code', 'admin']).nullish(),
  affiliation_verified_at: Instant,
  ownership_record_value: text.nullish(),
  ownership_expires_at: Instant,
  ownership_verified_at: Instant,
  created_at: Instant,
  updated_at: Instant,
})
const OrganizationRecord = z.object({
  id: text.optional(),
  name: text.min(1),
  slug: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]*$/)
    .max(256),
  external_id: text.nullish(),
  created_by: text.nullish(),
  public_metadata: Metadata,
  private_metadata: Metadata,
  max_allowed_memberships: z.number().int().min(0).max(1_000_000_000).nullish(),
  admin_delete_enabled: z.boolean().default(true),
  /** Key; absent: the initial one. */
  role_set: text.nullish(),
  /** Those of its own: never one that would be taken for a role of the instance. */
  roles: z
    .array(RoleRecord.extend({ key: roleKey.startsWith('org:org_') }))
    .max(1000)
    .default([]),
  groups: z.array(Group).max(1000).default([]),
  features: Features,
  domains: z.array(OrganizationDomainRecord).max(1000).default([]),
  created_at: Instant,
  updated_at: Instant,
})
export type OrganizationDomainRecord = z.infer<typeof OrganizationDomainRecord>
export type OrganizationRecord = z.infer<typeof OrganizationRecord>
export type RoleRecord = z.infer<typeof RoleRecord>
export type RoleSetRecord = z.infer<typeof RoleSetRecord>
export type FeatureRecord = z.infer<typeof FeatureRecord>
export type PermissionRecord = z.infer<typeof PermissionRecord>

export type ParsedRecord =
  | { kind: 'user'; record: UserRecord }
  | { kind: 'organization'; record: OrganizationRecord }
  | { kind: 'role'; record: RoleRecord }
  | { kind: 'role_set'; record: RoleSetRecord }
  | { kind: 'feature'; record: FeatureRecord }
  | { kind: 'permission'; record: PermissionRecord }
  | { kind: 'export' }

/** The other names that the fields of a user have in files of the vendor, of its migration tool, and of people. */
const aliases: Record<string, string> = {
  user_id: 'id',
  email: 'email_addresses',
  emails: 'email_addresses',
  email_address: 'email_addresses',
  primary_email: 'primary_email_address',
  phone: 'phone_numbers',
  phones: 'phone_numbers',
  phone_number: 'phone_numbers',
  memberships: 'organization_memberships',
  organizations: 'organization_memberships',
  hasher: 'password_hasher',
}

/**
 * What one record of a file says, in one spelling.
 *
 * @throws {UsherError} `form_param_format_invalid` naming the field at fault, and never its value
 */
export function parseRecord(value: Record<string, unknown>): ParsedRecord {
  const fields: Record<string, unknown> = {}
  for (const [name, given] of Object.entries(value)) {
    const plain = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    fields[aliases[plain] ?? plain] = given
  }
  switch (fields.object) {
    case 'export':
      return { kind: 'export' }
    case 'organization':
      return { kind: 'organization', record: check(OrganizationRecord, fields) }
    case 'role':
      return { kind: 'role', record: check(RoleRecord, fields) }
    case 'role_set':
      return { kind: 'role_set', record: check(RoleSetRecord, fields) }
    case 'feature':
      return { kind: 'feature', record: check(FeatureRecord, fields) }
    case 'permission':
      return { kind: 'permission', record: check(PermissionRecord, fields) }
    default:
      return { kind: 'user', record: check(UserRecord, fields) }
  }
}

function check<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const param = String(issue?.path[0] ?? '')
  throw new UsherError('form_param_format_invalid', `${issue?.path.join('.')} is invalid`, { param })
}

function splitNumbers(value: unknown): unknown {
  return typeof value === 'string'
    ? value
        .split(/[|,;]/)
        .map((part) => part.trim())
        .filter(Boolean)
    : value
}

function parseObject(json: string, refinement: z.RefinementCtx): Record<string, unknown> {
  try {
    const value = JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {}
  refinement.addIssue({ code: 'custom', message: 'is not a JSON object' })
  return z.NEVER
}
