/** Where and on what something happened. What is absent reads as unknown. */
export type Happening = {
  userAgent?: string | null
  ipAddress?: string | null
  /** ISO 8601; absent: now. */
  at?: string
}

/** What each template needs to be filled in. */
export type TemplateData = {
  verification_code: { code: string }
  reset_password_code: { code: string }
  magic_link_sign_in: { url: string } & Happening
  magic_link_sign_up: { url: string } & Happening
  magic_link_user_profile: { url: string } & Happening
  invitation: { url: string }
  organization_invitation: { organizationName: string; inviterName: string | null; url: string }
  waitlist_confirmation: Record<string, never>
  waitlist_invitation: { url: string }
  password_changed: Happening
  password_removed: Happening
  primary_email_address_changed: { newEmailAddress: string } & Happening
  email_address_removed: { emailAddress: string } & Happening
  new_device_sign_in: Happening
  /** `minutes` until the lock ends by itself; null: an operator has to lift it. */
  account_locked: { minutes: number | null } & Happening
  passkey_added: { passkeyName: string } & Happening
  passkey_removed: { passkeyName: string } & Happening
  mfa_enabled: { method: SecondFactorMethod } & Happening
  mfa_disabled: { method: SecondFactorMethod } & Happening
  backup_codes_regenerated: Happening
  /** `provider` as people know it, e.g. Google; `account`: how the account is called there. */
  external_account_linked: { provider: string; account: string } & Happening
  external_account_removed: { provider: string; account: string } & Happening
  /** For whoever runs the application. */
  webhook_endpoint_disabled: { url: string }
}
export type TemplateName = keyof TemplateData
/** Those that are also sent as text messages. */
export type TextTemplateName = 'verification_code' | 'reset_password_code'

export type SecondFactorMethod = 'totp' | 'phone_code' | 'backup_code'

export type Channel = 'email' | 'sms'

type Entry = {
  /** For lists of templates. */
  label: string
  /** What a template may name beside {@link commonVariables}. */
  variables: readonly string[]
  /** What it must name, because the message is worthless without. */
  required?: readonly string[]
}

/** What every template may name. `home_url`, `support_email` can be empty. */
export const commonVariables = ['application_name', 'home_url', 'support_email'] as const
const happening = ['time', 'device', 'place', 'ip_address'] as const
const link = { variables: ['url'], required: ['url'] } as const
const code = { variables: ['code'], required: ['code'] } as const

/** Every template there is, in the order in which lists show them. */
export const catalog: { [T in TemplateName]: Entry } = {
  verification_code: { label: 'Verification code', ...code },
  reset_password_code: { label: 'Code to reset a password', ...code },
  magic_link_sign_in: { label: 'Link to sign in', variables: ['url', ...happening], required: ['url'] },
  magic_link_sign_up: { label: 'Link to sign up', variables: ['url', ...happening], required: ['url'] },
  magic_link_user_profile: { label: 'Link to verify an address', variables: ['url', ...happening], required: ['url'] },
  invitation: { label: 'Invitation', ...link },
  organization_invitation: {
    label: 'Invitation to an organization',
    variables: ['url', 'organization_name', 'inviter_name'],
    required: ['url'],
  },
  waitlist_confirmation: { label: 'On the waitlist', variables: [] },
  waitlist_invitation: { label: 'Invitation from the waitlist', ...link },
  password_changed: { label: 'Password changed', variables: happening },
  password_removed: { label: 'Password removed', variables: happening },
  primary_email_address_changed: {
    label: 'Primary email address changed',
    variables: ['new_email_address', ...happening],
  },
  email_address_removed: { label: 'Email address removed', variables: ['email_address', ...happening] },
  new_device_sign_in: { label: 'Sign-in on a new device', variables: happening },
  account_locked: { label: 'Account locked', variables: ['unlocks', ...happening] },
  passkey_added: { label: 'Passkey added', variables: ['passkey_name', ...happening] },
  passkey_removed: { label: 'Passkey removed', variables: ['passkey_name', ...happening] },
  mfa_enabled: { label: 'Second factor added', variables: ['method', ...happening] },
  mfa_disabled: { label: 'Second factor removed', variables: ['method', ...happening] },
  backup_codes_regenerated: { label: 'New backup codes', variables: happening },
  external_account_linked: { label: 'Social account connected', variables: ['provider', 'account', ...happening] },
  external_account_removed: { label: 'Social account removed', variables: ['provider', 'account', ...happening] },
  webhook_endpoint_disabled: { label: 'Webhook endpoint disabled', ...link },
}

const textTemplates: readonly string[] = ['verification_code', 'reset_password_code'] satisfies TextTemplateName[]

export function templateNames(channel: Channel): TemplateName[] {
  const all = Object.keys(catalog) as TemplateName[]
  return channel === 'email' ? all : all.filter((name) => textTemplates.includes(name))
}

const when: Required<Happening> = {
  userAgent:
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  ipAddress: '203.0.113.7',
  at: '2026-03-14T09:26:00Z',
}
const url = 'https://example.com/accept?ticket=sample'

/** Made-up data, for previews. */
export const sampleData: TemplateData = {
  verification_code: { code: '123456' },
  reset_password_code: { code: '123456' },
  magic_link_sign_in: { url, ...when },
  magic_link_sign_up: { url, ...when },
  magic_link_user_profile: { url, ...when },
  invitation: { url },
  organization_invitation: { organizationName: 'Analytical Engines', inviterName: 'Ada Lovelace', url },
  waitlist_confirmation: {},
  waitlist_invitation: { url },
  password_changed: when,
  password_removed: when,
  primary_email_address_changed: { newEmailAddress: 'ada@example.com', ...when },
  email_address_removed: { emailAddress: 'ada@example.org', ...when },
  new_device_sign_in: when,
  account_locked: { minutes: 60, ...when },
  passkey_added: { passkeyName: 'Laptop', ...when },
  passkey_removed: { passkeyName: 'Laptop', ...when },
  mfa_enabled: { method: 'totp', ...when },
  mfa_disabled: { method: 'totp', ...when },
  backup_codes_regenerated: when,
  external_account_linked: { provider: 'Google', account: 'ada@example.com', ...when },
  external_account_removed: { provider: 'Google', account: 'ada@example.com', ...when },
  webhook_endpoint_disabled: { url: 'https://example.com/api/webhooks' },
}
