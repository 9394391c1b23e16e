/**
 * Every error a caller can meet, with its HTTP status. A released code never changes its meaning.
 *
 * The codes are those that the browser and server SDKs branch on, so a face may pass them through unchanged.
 * 401 means "this session or client is gone" to the SDKs, never "wrong password": that is 422.
 */
export const errorStatus = {
  // Input
  form_param_nil: 422,
  form_param_missing: 422,
  form_param_unknown: 422,
  form_param_format_invalid: 422,
  form_param_type_invalid: 422,
  form_param_value_invalid: 422,
  form_param_max_length_exceeded: 422,
  request_body_invalid: 400,
  request_too_large: 413,
  // Identification and passwords
  form_identifier_not_found: 422,
  form_identifier_exists: 422,
  form_password_incorrect: 422,
  form_password_length_too_short: 422,
  form_password_length_too_long: 422,
  form_password_validation_failed: 422,
  form_new_password_matches_current: 422,
  form_password_or_identifier_incorrect: 422,
  form_password_pwned: 422,
  form_password_compromised: 422,
  form_password_not_strong_enough: 422,
  form_password_no_uppercase: 422,
  form_password_no_lowercase: 422,
  form_password_no_number: 422,
  form_password_no_special_char: 422,
  form_password_size_in_bytes_exceeded: 422,
  form_password_matches_identifier: 422,
  password_digest_invalid: 422,
  form_code_incorrect: 422,
  form_email_address_blocked: 422,
  phone_number_exists: 422,
  unsupported_country_code: 422,
  passkey_invalid: 422,
  avatar_file_type_invalid: 400,
  avatar_file_size_exceeded: 413,
  form_username_invalid_character: 422,
  form_username_invalid_length: 422,
  form_username_needs_non_number_char: 422,
  strategy_for_user_invalid: 422,
  identification_deletion_failed: 400,
  user_banned: 403,
  user_locked: 403,
  // Verifications and single-use tokens
  verification_expired: 400,
  verification_failed: 400,
  verification_already_verified: 400,
  ticket_expired: 400,
  ticket_invalid: 400,
  token_used: 400,
  // Sign-in, sign-up and sessions
  session_exists: 400,
  identifier_already_signed_in: 400,
  authentication_invalid: 401,
  clerk_key_invalid: 401,
  dev_browser_unauthenticated: 401,
  client_not_found: 404,
  signed_out: 401,
  refresh_token_invalid: 401,
  refresh_token_used: 401,
  /** A token grew larger than a cookie or a header holds, by the claims of the application's own. */
  token_too_large: 422,
  not_allowed_access: 403,
  not_allowed_to_sign_up: 403,
  sign_up_mode_restricted: 403,
  sign_up_restricted_waitlist: 403,
  device_blocked: 403,
  captcha_invalid: 400,
  captcha_missing_token: 400,
  external_account_exists: 422,
  external_account_not_found: 422,
  oauth_access_denied: 400,
  oauth_provider_not_configured: 400,
  oauth_callback_invalid: 403,
  oauth_provider_failed: 502,
  action_not_allowed_while_impersonating: 403,
  invitation_account_not_exists: 404,
  session_reverification_required: 403,
  origin_invalid: 403,
  // Organizations and access
  resource_not_found: 404,
  forbidden: 403,
  organization_not_found_or_unauthorized: 404,
  organization_creation_not_allowed: 403,
  organization_not_enabled: 403,
  organization_creation_quota_exceeded: 403,
  organization_domains_not_enabled: 403,
  organization_domain_common: 422,
  organization_domain_blocked: 422,
  organization_domain_mismatch: 422,
  organization_domain_taken: 422,
  organization_domain_quota_exceeded: 403,
  organization_name_misleading: 422,
  enrollment_mode_not_enabled: 422,
  organization_membership_quota_exceeded: 403,
  organization_minimum_permissions_needed: 403,
  organization_slug_taken: 422,
  already_a_member_in_organization: 400,
  not_a_member_in_organization: 404,
  duplicate_record: 400,
  role_in_use: 400,
  // API keys
  api_keys_not_enabled: 403,
  token_creation_conflict: 409,
  token_quota_exceeded: 403,
  api_key_secret_not_kept: 409,
  system_record_immutable: 400,
  // Realtime
  sync_access_denied: 403,
  // Generic
  conflict: 409,
  too_many_requests: 429,
  unavailable: 503,
  not_implemented: 501,
  egress_refused: 422,
  internal_error: 500,
} as const

export type ErrorCode = keyof typeof errorStatus

export type ErrorDetails = {
  /** The form field or parameter at fault, in snake_case as it stands on the wire. */
  param?: string
  /** Further machine-readable facts. Never a secret, never another tenant's data. */
  meta?: Record<string, unknown>
  /** A longer sentence for people; defaults to the message. */
  longMessage?: string
  /** The rule of an organization that refused. For its audit log; it never goes out. */
  refused?: { organizationId: string; rule: string }
  /** Seconds after which the caller may try again. */
  retryAfterSeconds?: number
}

/** An error with a stable code. Callers match the code; the message is for people. */
export class UsherError extends Error {
  override readonly name = 'UsherError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message)
    this.code = code
    this.details = details
  }

  get status(): (typeof errorStatus)[ErrorCode] {
    return errorStatus[this.code]
  }
}

/**
 * True when a write met a unique index, so that the caller can answer with the domain's own error.
 *
 * @param constraint name of the index, to tell several on one table apart
 */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  // Drizzle wraps the driver's error; Bun puts the SQLSTATE in `errno` and the index in `constraint`.
  const cause = (error as { cause?: unknown })?.cause ?? error
  const { errno, constraint: violated } = cause as { errno?: unknown; constraint?: unknown }
  return errno === '23505' && (constraint === undefined || violated === constraint)
}

/** Whether a database refused text that it cannot hold, such as a NUL or half a surrogate pair. */
export function isUnstorableText(error: unknown): boolean {
  const cause = (error as { cause?: unknown })?.cause ?? error
  return ['22021', '22P05', '22P02'].includes(String((cause as { errno?: unknown } | undefined)?.errno))
}

/** Whether a write referred to a row that somebody else deleted meanwhile, or would have taken one away that is referred to. */
export function isMissingReference(error: unknown): boolean {
  const cause = (error as { cause?: unknown })?.cause ?? error
  return (cause as { errno?: unknown } | undefined)?.errno === '23503'
}
