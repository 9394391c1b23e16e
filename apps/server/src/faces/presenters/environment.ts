import type { Challenge } from '../../domains/bot-check/index.ts'
import type { Instance } from '../../domains/instances/index.ts'

type SiteKeys = Challenge['siteKeys'] | undefined

/**
 * Everything that the browser SDK and the components read; they replace what they had by it.
 *
 * @param siteKeys of the server's provider of challenges, if it has one
 */
export function presentEnvironment(instance: Instance, publicUrl: string, siteKeys?: SiteKeys) {
  return {
    object: 'environment',
    id: `env_${instance.id}`,
    auth_config: authConfig(instance),
    display_config: displayConfig(instance, publicUrl, siteKeys),
    user_settings: userSettings(instance),
    organization_settings: organizationSettings(instance),
    commerce_settings: {
      billing: {
        stripe_publishable_key: null,
        free_trial_requires_payment_method: true,
        user: { enabled: false, has_paid_plans: false },
        organization: { enabled: false, has_paid_plans: false },
      },
    },
    api_keys_settings: {
      user_api_keys_enabled: instance.settings.apiKeys.users,
      orgs_api_keys_enabled: instance.settings.apiKeys.organizations,
    },
    protect_config: { object: 'protect_config', id: `pconf_${instance.id}`, loaders: [] },
    fraud_settings: {},
    client_debug_mode: false,
    maintenance_mode: false,
    partitioned_cookies: false,
  }
}

const state = { off: 'off', optional: 'on', required: 'required' } as const

function authConfig(instance: Instance) {
  const { id, environment, settings } = instance
  const { emailAddress, phoneNumber, username, password, signUp, reverification } = settings
  const identifiers = [
    ...(emailAddress.use !== 'off' && emailAddress.signIn ? ['email_address'] : []),
    ...(phoneNumber.use !== 'off' && phoneNumber.signIn ? ['phone_number'] : []),
    ...(username.use !== 'off' && username.signIn ? ['username'] : []),
  ]
  const { attributes } = userSettings(instance)
  const all = Object.values(attributes)
  return {
    object: 'auth_config',
    id: `aconf_${id}`,
    single_session_mode: !settings.multiSession,
    claimed_at: null,
    reverification: reverification.enabled,
    preferred_channels: null,
    session_minter: false,
    test_mode: environment === 'development',
    cookieless_dev: true,
    url_based_session_syncing: true,
    enhanced_email_deliverability: false,
    first_name: state[signUp.names],
    last_name: state[signUp.names],
    email_address: state[emailAddress.use],
    phone_number: state[phoneNumber.use],
    username: state[username.use],
    password: state[password.use],
    identification_requirements: identifiers.map((identifier) => [identifier]),
    identification_strategies: identifiers,
    first_factors: [
      ...(password.use === 'off' ? [] : ['password', 'reset_password_email_code']),
      ...all.flatMap((a) => (a.used_for_first_factor ? a.first_factors : [])),
      ...instance.connections.filter((c) => c.enabled && c.authenticatable).map((c) => `oauth_${c.provider.key}`),
      'ticket',
    ],
    second_factors: all.flatMap((a) => (a.used_for_second_factor ? a.second_factors : [])),
    email_address_verification_strategies: attributes.email_address.verifications,
    native_settings: {
      object: 'native_settings',
      api_enabled: true,
      trusted_device_sign_in_enabled: false,
      trusted_device_enrollment_prompt_after_sign_in_enabled: false,
      trusted_device_enrollment_prompt_after_sign_up_enabled: false,
    },
  }
}

function displayConfig({ id, environment, settings }: Instance, publicUrl: string, siteKeys: SiteKeys) {
  const home = settings.homeUrl ?? publicUrl
  const captcha = settings.botCheck.enabled ? siteKeys : undefined
  const at = (path: string) => new URL(path, home).toString()
  const signIn = settings.signInUrl ?? at('/sign-in')
  const signUp = settings.signUpUrl ?? at('/sign-up')
  return {
    object: 'display_config',
    id: `dconf_${id}`,
    instance_environment_type: environment,
    application_name: settings.applicationName,
    theme: {
      buttons: { font_color: '#ffffff', font_family: 'inherit', font_weight: '600' },
      general: {
        color: '#4338ca',
        background_color: '#ffffff',
        font_family: 'inherit',
        font_color: '#18181b',
        label_font_weight: '600',
        padding: '1em',
        border_radius: '0.5em',
        box_shadow: 'none',
      },
      accounts: { background_color: '#ffffff' },
    },
    preferred_sign_in_strategy: settings.password.use === 'off' ? 'otp' : 'password',
    logo_image_url: settings.logoUrl ?? null,
    favicon_image_url: null,
    home_url: home,
    sign_in_url: signIn,
    sign_up_url: signUp,
    user_profile_url: at('/user'),
    waitlist_url: at('/waitlist'),
    oauth_consent_url: at('/oauth-consent'),
    after_sign_in_url: home,
    after_sign_up_url: home,
    after_sign_out_one_url: signIn,
    after_sign_out_all_url: signIn,
    after_switch_session_url: home,
    after_join_waitlist_url: home,
    organization_profile_url: at('/organization'),
    create_organization_url: at('/create-organization'),
    after_leave_organization_url: home,
    after_create_organization_url: home,
    logo_link_url: home,
    support_email: settings.supportEmail ?? null,
    branded: false,
    experimental_force_oauth_first: false,
    clerk_js_version: '6',
    show_devmode_warning: false,
    google_one_tap_client_id: null,
    help_url: null,
    privacy_policy_url: settings.privacyPolicyUrl ?? null,
    terms_url: settings.termsUrl ?? null,
    captcha_public_key: captcha?.smart ?? null,
    captcha_widget_type: captcha ? settings.botCheck.widget : null,
    captcha_public_key_invisible: captcha?.invisible ?? null,
    captcha_provider: 'turnstile',
    captcha_oauth_bypass: [],
    captcha_heartbeat: false,
    captcha_heartbeat_interval_ms: null,
    backend_host: new URL(publicUrl).host,
  }
}

type Attribute = {
  enabled?: boolean
  required?: boolean
  used_for_first_factor?: boolean
  first_factors?: string[]
  used_for_second_factor?: boolean
  second_factors?: string[]
  verifications?: string[]
  verify_at_sign_up?: boolean
}

const attribute = (given: Attribute = {}) => ({
  enabled: false,
  required: false,
  used_for_first_factor: false,
  first_factors: [] as string[],
  used_for_second_factor: false,
  second_factors: [] as string[],
  verifications: [] as string[],
  verify_at_sign_up: false,
  immutable: false,
  ...given,
})

const inUse = (use: 'off' | 'optional' | 'required') => ({ enabled: use !== 'off', required: use === 'required' })

/** The components replace what they had by this, so that every attribute has to be there, those in no use as well. */
function attributesOf({ settings }: Instance) {
  const { emailAddress, phoneNumber, username, password, passkeys, secondFactors, signUp } = settings
  const emailStrategies = [...(emailAddress.codes ? ['email_code'] : []), ...(emailAddress.links ? ['email_link'] : [])]
  const phoneInUse = phoneNumber.use !== 'off'
  return {
    email_address: attribute({
      ...inUse(emailAddress.use),
      used_for_first_factor: emailAddress.use !== 'off' && emailAddress.signIn,
      first_factors: emailStrategies,
      verifications: emailStrategies,
      verify_at_sign_up: emailAddress.use !== 'off' && emailAddress.verifyAtSignUp,
    }),
    phone_number: {
      ...attribute({
        // As a second factor alone it is added in the profile and asked for nowhere else.
        enabled: phoneInUse || secondFactors.phoneCode,
        required: phoneNumber.use === 'required',
        used_for_first_factor: phoneInUse && phoneNumber.signIn,
        first_factors: phoneInUse && phoneNumber.signIn ? ['phone_code'] : [],
        used_for_second_factor: secondFactors.phoneCode,
        second_factors: secondFactors.phoneCode ? ['phone_code'] : [],
        verifications: ['phone_code'],
        verify_at_sign_up: phoneInUse && phoneNumber.verifyAtSignUp,
      }),
      channels: ['sms'],
    },
    username: attribute({ ...inUse(username.use), used_for_first_factor: username.use !== 'off' && username.signIn }),
    web3_wallet: attribute(),
    first_name: attribute(inUse(signUp.names)),
    last_name: attribute(inUse(signUp.names)),
    password: attribute(inUse(password.use)),
    authenticator_app: attribute({
      enabled: secondFactors.totp,
      used_for_second_factor: secondFactors.totp,
      second_factors: secondFactors.totp ? ['totp'] : [],
    }),
    ticket: attribute({ enabled: true }),
    backup_code: attribute({
      enabled: secondFactors.backupCodes,
      used_for_second_factor: secondFactors.backupCodes,
      second_factors: secondFactors.backupCodes ? ['backup_code'] : [],
    }),
    passkey: attribute({
      enabled: passkeys.enabled,
      used_for_first_factor: passkeys.enabled,
      first_factors: passkeys.enabled ? ['passkey'] : [],
      verifications: passkeys.enabled ? ['passkey'] : [],
    }),
  }
}

/** Providers without a logo of their own show the one that the components know, or their name. */
function presentConnection(connection: Instance['connections'][number]) {
  const { provider, name, enabled, authenticatable, blockEmailSubaddresses, logoUrl } = connection
  return {
    enabled,
    required: false,
    authenticatable,
    block_email_subaddresses: blockEmailSubaddresses,
    strategy: `oauth_${provider.key}`,
    not_selectable: false,
    deprecated: false,
    name,
    logo_url: logoUrl,
  }
}

function userSettings(instance: Instance) {
  const { settings } = instance
  const { signUp, secondFactors, restrictions, password, username, passkeys, lockout, botCheck } = settings
  return {
    attributes: attributesOf(instance),
    actions: {
      delete_self: settings.users.deleteSelf,
      create_organization: settings.organizations.enabled && settings.organizations.creation,
      create_organizations_limit: settings.organizations.creationLimit || null,
    },
    social: Object.fromEntries(instance.connections.map((c) => [`oauth_${c.provider.key}`, presentConnection(c)])),
    saml: { enabled: false },
    enterprise_sso: { enabled: false, self_serve_sso: false },
    sign_in: {
      second_factor: {
        required: secondFactors.required,
        enabled: secondFactors.totp || secondFactors.phoneCode || secondFactors.backupCodes,
      },
    },
    sign_up: {
      allowlist_only: restrictions.allowlist,
      captcha_enabled: botCheck.enabled,
      captcha_widget_type: botCheck.widget,
      custom_action_required: false,
      progressive: true,
      mode: signUp.mode,
      legal_consent_enabled: signUp.legalConsent,
      mfa: { required: secondFactors.required },
    },
    restrictions: {
      allowlist: { enabled: restrictions.allowlist },
      blocklist: { enabled: restrictions.blocklist },
      allowlist_blocklist_disabled_on_sign_in: { enabled: false },
      block_email_subaddresses: { enabled: restrictions.blockEmailSubaddresses },
      block_disposable_email_domains: { enabled: restrictions.blockDisposableEmailDomains },
    },
    password_settings: {
      disable_hibp: !password.refuseBreached,
      disable_password_reverification: !settings.reverification.enabled,
      min_length: password.minLength,
      max_length: 72,
      require_special_char: password.requireSpecialCharacter,
      require_numbers: password.requireNumber,
      require_uppercase: password.requireUppercase,
      require_lowercase: password.requireLowercase,
      show_zxcvbn: password.minStrength > 0,
      min_zxcvbn_strength: password.minStrength,
      enforce_hibp_on_sign_in: password.refuseBreachedAtSignIn,
      allowed_special_characters: '',
    },
    username_settings: {
      min_length: username.minLength,
      max_length: username.maxLength,
      allow_extended_special_characters: username.allowExtendedCharacters,
      allow_numeric_usernames: username.allowNumeric,
    },
    passkey_settings: {
      allow_autofill: passkeys.enabled && passkeys.autofill,
      show_sign_in_button: passkeys.enabled && passkeys.signInButton,
      satisfies_second_factor: passkeys.satisfiesSecondFactor,
    },
    attack_protection: {
      user_lockout: {
        enabled: lockout.enabled,
        max_attempts: lockout.maxAttempts,
        duration_in_minutes: lockout.minutes,
      },
      pii: { enabled: true },
      email_link: { require_same_client: settings.emailAddress.linkRequiresSameClient },
      enumeration_protection: { enabled: settings.enumerationProtection },
    },
  }
}

function organizationSettings({ settings }: Instance) {
  const { enabled, maxAllowedMemberships, forceSelection, adminDelete, creatorRole, defaultRole, ...more } =
    settings.organizations
  return {
    enabled,
    max_allowed_memberships: maxAllowedMemberships,
    force_organization_selection: forceSelection,
    actions: { admin_delete: adminDelete },
    domains: {
      enabled: more.domains,
      enrollment_modes: more.domains ? more.enrollmentModes : [],
      default_role: defaultRole,
    },
    slug: { disabled: !more.slugs },
    organization_creation_defaults: { enabled: more.creationDefaults },
    creator_role: creatorRole,
  }
}
