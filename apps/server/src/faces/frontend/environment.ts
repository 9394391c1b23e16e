import { Hono } from 'hono'
import type { Instance } from '../../domains/instances/index.ts'
import { createDevBrowser } from '../../domains/sessions/index.ts'
import { countAttempt, ipKey } from '../../kernel/rate-limit.ts'
import { jsonResponse } from '../http.ts'
import type { FrontendEnv } from './context.ts'

/** What the components need to know before anybody is known. In development it arrives as PATCH, without a client. */
export function environmentRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.on(['GET', 'PATCH', 'POST'], '/environment', (c) =>
    jsonResponse(presentEnvironment(c.var.instance, c.var.publicUrl)),
  )
  routes.post('/dev_browser', async (c) => {
    const max = c.var.instance.settings.rateLimits.attemptsPerMinute
    const key = `${c.var.instance.id}:dev_browser:${ipKey(c.env.ip)}`
    countAttempt(c.var.runtime.database, key, { max, windowMs: 60_000 }, c.var.ctx.now())
    const { token } = await createDevBrowser(c.var.ctx)
    return jsonResponse({ object: 'dev_browser', id: token })
  })
  return routes
}

/** Everything that the browser SDK and the components read; they replace what they had by it. */
export function presentEnvironment(instance: Instance, publicUrl: string) {
  return {
    object: 'environment',
    id: `env_${instance.id}`,
    auth_config: authConfig(instance),
    display_config: displayConfig(instance, publicUrl),
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
    api_keys_settings: { user_api_keys_enabled: false, orgs_api_keys_enabled: false },
    protect_config: { object: 'protect_config', id: `pconf_${instance.id}`, loaders: [] },
    fraud_settings: {},
    client_debug_mode: false,
    maintenance_mode: false,
    partitioned_cookies: false,
  }
}

const nameState = { off: 'off', optional: 'on', required: 'required' } as const

function authConfig({ id, environment, settings }: Instance) {
  const names = nameState[settings.signUp.names]
  return {
    object: 'auth_config',
    id: `aconf_${id}`,
    single_session_mode: !settings.multiSession,
    claimed_at: null,
    reverification: false,
    preferred_channels: null,
    session_minter: false,
    test_mode: environment === 'development',
    cookieless_dev: true,
    url_based_session_syncing: true,
    enhanced_email_deliverability: false,
    first_name: names,
    last_name: names,
    email_address: 'required',
    phone_number: 'off',
    username: 'off',
    password: 'required',
    identification_requirements: [['email_address']],
    identification_strategies: ['email_address'],
    first_factors: ['email_code', 'password', 'reset_password_email_code', 'ticket'],
    second_factors: [],
    email_address_verification_strategies: ['email_code'],
    native_settings: {
      object: 'native_settings',
      api_enabled: true,
      trusted_device_sign_in_enabled: false,
      trusted_device_enrollment_prompt_after_sign_in_enabled: false,
      trusted_device_enrollment_prompt_after_sign_up_enabled: false,
    },
  }
}

function displayConfig({ id, environment, settings }: Instance, publicUrl: string) {
  const home = settings.homeUrl ?? publicUrl
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
    preferred_sign_in_strategy: 'password',
    logo_image_url: null,
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
    support_email: null,
    branded: false,
    experimental_force_oauth_first: false,
    clerk_js_version: '6',
    show_devmode_warning: false,
    google_one_tap_client_id: null,
    help_url: null,
    privacy_policy_url: null,
    terms_url: null,
    captcha_public_key: null,
    captcha_widget_type: null,
    captcha_public_key_invisible: null,
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
  verifications?: string[]
  verify_at_sign_up?: boolean
}

const attribute = (given: Attribute = {}) => ({
  enabled: false,
  required: false,
  used_for_first_factor: false,
  first_factors: [],
  used_for_second_factor: false,
  second_factors: [],
  verifications: [],
  verify_at_sign_up: false,
  immutable: false,
  ...given,
})

function userSettings({ settings }: Instance) {
  const { names, mode } = settings.signUp
  const name = attribute({ enabled: names !== 'off', required: names === 'required' })
  return {
    attributes: {
      email_address: attribute({
        enabled: true,
        required: true,
        used_for_first_factor: true,
        first_factors: ['email_code'],
        verifications: ['email_code'],
        verify_at_sign_up: true,
      }),
      phone_number: { ...attribute(), channels: [] },
      username: attribute(),
      web3_wallet: attribute(),
      first_name: name,
      last_name: name,
      password: attribute({ enabled: true, required: true }),
      authenticator_app: attribute(),
      ticket: attribute({ enabled: true }),
      backup_code: attribute(),
      passkey: attribute(),
    },
    actions: {
      delete_self: true,
      create_organization: settings.organizations.enabled,
      create_organizations_limit: null,
    },
    social: {},
    saml: { enabled: false },
    enterprise_sso: { enabled: false, self_serve_sso: false },
    sign_in: { second_factor: { required: false, enabled: false } },
    sign_up: {
      allowlist_only: false,
      captcha_enabled: false,
      captcha_widget_type: 'smart',
      custom_action_required: false,
      progressive: true,
      mode,
      legal_consent_enabled: false,
      mfa: { required: false },
    },
    restrictions: {
      allowlist: { enabled: false },
      blocklist: { enabled: false },
      allowlist_blocklist_disabled_on_sign_in: { enabled: false },
      block_email_subaddresses: { enabled: false },
      block_disposable_email_domains: { enabled: false },
    },
    password_settings: {
      disable_hibp: true,
      disable_password_reverification: true,
      min_length: settings.password.minLength,
      max_length: 72,
      require_special_char: false,
      require_numbers: false,
      require_uppercase: false,
      require_lowercase: false,
      show_zxcvbn: false,
      min_zxcvbn_strength: 0,
      enforce_hibp_on_sign_in: false,
      allowed_special_characters: '',
    },
    username_settings: {
      min_length: 4,
      max_length: 64,
      allow_extended_special_characters: false,
      allow_numeric_usernames: false,
    },
    passkey_settings: { allow_autofill: false, show_sign_in_button: false, satisfies_second_factor: false },
    attack_protection: {
      user_lockout: { enabled: false, max_attempts: 100, duration_in_minutes: 60 },
      pii: { enabled: true },
      email_link: { require_same_client: true },
      enumeration_protection: { enabled: false },
    },
  }
}

function organizationSettings({ settings }: Instance) {
  const { enabled, maxAllowedMemberships, forceSelection, adminDelete, creatorRole, defaultRole } =
    settings.organizations
  return {
    enabled,
    max_allowed_memberships: maxAllowedMemberships,
    force_organization_selection: forceSelection,
    actions: { admin_delete: adminDelete },
    domains: { enabled: false, enrollment_modes: [], default_role: defaultRole },
    slug: { disabled: false },
    organization_creation_defaults: { enabled: false },
    creator_role: creatorRole,
  }
}
