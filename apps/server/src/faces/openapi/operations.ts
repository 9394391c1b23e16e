/** One operation of the APIs that the unmodified SDKs call, whether it is served here or not. */
export type Operation = {
  face: 'frontend' | 'backend'
  method: string
  /** With the parameters in braces, and under `/v1` unless it begins with another path. */
  path: string
  summary: string
  /** Heading under which it is listed. */
  tag: string
  /** How soon an application misses it: 0 at once, 1 with more than the basics, 2 seldom. */
  priority: 0 | 1 | 2
}

/**
 * The browser API. A line is `priority methods path summary`; several methods share a line where a name for all of them
 * will do, and `# …` begins a group.
 */
const frontend = `
# Environment and browsers
0 GET,PATCH /v1/environment | Settings of the instance, for the components
0 POST /v1/dev_browser | Begin to know a browser in development
2 GET /v1/dev_browser/init | Begin to know a browser, as older SDKs do
2 POST /v1/dev_browser/set_first_party_cookie | Give a browser its cookie, as older SDKs do
1 PATCH /v1/dev_tools/enable_environment_setting | Switch a setting on from the components, in development
0 GET /v1/health | Whether the server is up
2 GET /v1/proxy-health | Whether the application's proxy works
2 GET /v1/account_portal | Settings of hosted pages
2 GET /v1/redirect | Go to a page of the application
2 GET /v1/clear-site-data | Forget what the browser stored
# Clients and sessions
0 GET /v1/client | Who is signed in on this browser
0 PUT,POST /v1/client | Begin a client
0 DELETE /v1/client | Forget a client
0 DELETE /v1/client/sessions | Sign everybody out on this browser
0 GET /v1/client/sessions/{id} | One session
0 POST /v1/client/sessions/{id}/touch | Use a session, or another organization in it
0 POST /v1/client/sessions/{id}/end | End a session
0 POST /v1/client/sessions/{id}/remove | End a session and take it off the browser
0 POST /v1/client/sessions/{id}/tokens | A session token
0 POST /v1/client/sessions/{id}/tokens/{template} | A token by a JWT template
0 GET /v1/client/handshake | Bring a server's cookies up to date
0 GET /v1/client/touch | Renew the client's cookie on the way to a page
1 POST /v1/client/verify | Pass a bot check
2 GET /v1/client/sync | Sign a satellite domain in
2 GET /v1/client/link | Link a satellite domain
1 POST /v1/client/sessions/{id}/verify | Begin to confirm who one is
1 POST /v1/client/sessions/{id}/verify/prepare_first_factor | Prepare a first factor of a confirmation
1 POST /v1/client/sessions/{id}/verify/attempt_first_factor | Show a first factor for a confirmation
1 POST /v1/client/sessions/{id}/verify/prepare_second_factor | Prepare a second factor of a confirmation
1 POST /v1/client/sessions/{id}/verify/attempt_second_factor | Show a second factor for a confirmation
# Sign-in
0 POST /v1/client/sign_ins | Begin to sign in
0 GET /v1/client/sign_ins/{id} | How far a sign-in is
0 POST /v1/client/sign_ins/{id}/prepare_first_factor | Prepare a first factor
0 POST /v1/client/sign_ins/{id}/attempt_first_factor | Show a first factor
0 POST /v1/client/sign_ins/{id}/prepare_second_factor | Prepare a second factor
0 POST /v1/client/sign_ins/{id}/attempt_second_factor | Show a second factor
0 POST /v1/client/sign_ins/{id}/reset_password | Set a new password after a reset
2 PATCH /v1/client/sign_ins/{id}/protect_check | Pass a protection check
1 GET /v1/oauth_callback | Come back from a social provider
1 POST /v1/oauth_callback | Come back from a social provider that posts a form
1 GET /v1/verify | Follow a link in an email
1 GET /v1/tickets/accept | Follow an invitation or sign-in link
2 POST /v1/saml/acs/{id} | Come back from a SAML identity provider
2 GET /v1/agents/tasks | Sign an agent in by a task
# Sign-up
0 POST /v1/client/sign_ups | Begin to sign up
0 GET,PATCH /v1/client/sign_ups/{id} | How far a sign-up is, and what is added to it
0 POST /v1/client/sign_ups/{id}/prepare_verification | Send a code or link
0 POST /v1/client/sign_ups/{id}/attempt_verification | Show a code
2 GET /v1/client/sign_ups/{id}/enterprise_connections | Enterprise connections of a sign-up
2 PATCH /v1/client/sign_ups/{id}/protect_check | Pass a protection check
1 POST /v1/waitlist | Join the waitlist
# The signed-in person
0 GET,PATCH,DELETE /v1/me | One's own profile
0 PATCH /v1/me/metadata | Change one's own metadata
0 POST /v1/me/change_password | Change one's password
0 POST /v1/me/remove_password | Remove one's password
0 POST,DELETE /v1/me/profile_image | One's picture
0 GET,POST /v1/me/email_addresses | One's email addresses
0 GET,DELETE /v1/me/email_addresses/{id} | One of one's email addresses
0 POST /v1/me/email_addresses/{id}/prepare_verification | Send a code or link to an address
0 POST /v1/me/email_addresses/{id}/attempt_verification | Prove an address
0 GET,POST /v1/me/phone_numbers | One's phone numbers
0 GET,PATCH,DELETE /v1/me/phone_numbers/{id} | One of one's phone numbers
0 POST /v1/me/phone_numbers/{id}/prepare_verification | Send a code to a number
0 POST /v1/me/phone_numbers/{id}/attempt_verification | Prove a number
2 GET,POST /v1/me/web3_wallets | One's wallets
2 GET,DELETE /v1/me/web3_wallets/{id} | One of one's wallets
1 POST /v1/me/passkeys | Begin to add a passkey
1 POST /v1/me/passkeys/{id}/attempt_verification | Add a passkey
1 PATCH,DELETE /v1/me/passkeys/{id} | Rename or remove a passkey
1 POST,DELETE /v1/me/totp | One's authenticator
1 POST /v1/me/totp/attempt_verification | Take an authenticator into use
1 POST /v1/me/backup_codes | Make backup codes
1 POST /v1/me/external_accounts | Link an account at a social provider
1 PATCH /v1/me/external_accounts/{id}/reauthorize | Ask a social provider for more
1 DELETE /v1/me/external_accounts/{id} | Unlink an account
1 DELETE /v1/me/external_accounts/{id}/tokens | Forget an account's tokens
0 GET /v1/me/sessions | One's sessions
0 GET /v1/me/sessions/active | One's devices
0 POST /v1/me/sessions/{id}/revoke | Sign a device out
0 GET /v1/me/organization_memberships | One's organizations
0 DELETE /v1/me/organization_memberships/{organization} | Leave an organization
0 GET /v1/me/organization_invitations | Invitations to organizations
0 POST /v1/me/organization_invitations/{id}/accept | Accept an invitation
0 GET /v1/me/organization_suggestions | Organizations that one may ask to join
1 POST /v1/me/organization_suggestions/{id}/accept | Ask to join an organization
1 GET /v1/me/organization_creation_defaults | What the form for a new organization begins with
2 GET /v1/me/enterprise_connections | One's enterprise connections
2 GET /v1/me/trusted_devices | One's trusted devices
2 GET,POST /v1/me/oauth/consent/{client_id} | Consent to an application
2 POST /v1/me/tokens | Tokens of older integrations
# Organizations
0 POST /v1/organizations | Create an organization
0 GET,PATCH,DELETE /v1/organizations/{id} | One organization
0 PUT,DELETE /v1/organizations/{id}/logo | An organization's logo
0 GET,POST /v1/organizations/{id}/memberships | Members
0 PATCH,DELETE /v1/organizations/{id}/memberships/{user_id} | One member
0 GET,POST /v1/organizations/{id}/invitations | Invitations
0 POST /v1/organizations/{id}/invitations/bulk | Invite several people
0 POST /v1/organizations/{id}/invitations/{invitation_id}/revoke | Revoke an invitation
2 GET /v1/organizations/{id}/invitations/pending | Open invitations, as older SDKs ask
0 GET /v1/organizations/{id}/roles | Roles that members can have
1 GET,POST /v1/organizations/{id}/domains | An organization's email domains
1 GET,DELETE /v1/organizations/{id}/domains/{domain_id} | One email domain
1 POST /v1/organizations/{id}/domains/{domain_id}/update_enrollment_mode | How people of a domain join
1 POST /v1/organizations/{id}/domains/{domain_id}/prepare_affiliation_verification | Send a code to an address of a domain
1 POST /v1/organizations/{id}/domains/{domain_id}/attempt_affiliation_verification | Prove a domain by a code
2 POST /v1/organizations/{id}/domains/{domain_id}/prepare_ownership_verification | Ask for a DNS record
2 POST /v1/organizations/{id}/domains/{domain_id}/attempt_ownership_verification | Prove a domain by DNS
2 POST /v1/organizations/{id}/domains/prepare_ownership_verification/bulk | Ask for DNS records of several domains
2 POST /v1/organizations/{id}/domains/attempt_ownership_verification/bulk | Prove several domains by DNS
1 GET /v1/organizations/{id}/membership_requests | People who ask to join
1 POST /v1/organizations/{id}/membership_requests/{request_id}/accept | Let somebody in
1 POST /v1/organizations/{id}/membership_requests/{request_id}/reject | Turn somebody down
2 GET,POST /v1/organizations/{id}/enterprise_connections | Enterprise connections, set up by the customer
# Billing
2 GET /v1/billing/plans | Plans
2 GET /v1/me/billing/subscription | One's subscription
2 POST /v1/me/billing/checkouts | Buy a plan
2 GET /v1/organizations/{id}/billing/subscription | An organization's subscription
# API keys
1 GET,POST /api_keys | API keys of a person or an organization
1 GET /api_keys/{id} | One API key
1 POST /api_keys/{id}/revoke | Revoke an API key
# OAuth and discovery
0 GET /.well-known/jwks.json | Public keys of session tokens
1 GET /.well-known/openid-configuration | OpenID Connect discovery
1 GET /oauth/authorize | Begin an OAuth authorization
1 POST /oauth/token | Exchange a code for tokens
1 GET /oauth/userinfo | Who a token is for
2 POST /oauth/register | Register an OAuth client
2 POST /oauth/token_info | Inspect a token
2 POST /oauth/revoke | Revoke a token
# Files of the SDKs
0 GET /npm/{scope}/{package}/dist/{file} | Browser files of the SDKs
`

/** The server API, as `@clerk/backend` calls it. */
const backend = `
# Users
0 GET,POST /v1/users | Users
0 GET /v1/users/count | How many users there are
0 GET,PATCH,DELETE /v1/users/{id} | One user
0 PATCH /v1/users/{id}/metadata | Merge metadata
0 PUT /v1/users/{id}/metadata | Replace metadata
1 POST,DELETE /v1/users/{id}/profile_image | A user's picture
0 POST /v1/users/{id}/ban | Ban a user
0 POST /v1/users/{id}/unban | Lift a ban
0 POST /v1/users/{id}/lock | Lock a user
0 POST /v1/users/{id}/unlock | Unlock a user
1 POST /v1/users/ban | Ban several users
1 POST /v1/users/unban | Lift several bans
1 DELETE /v1/users/{id}/mfa | Switch a user's second factors off
1 DELETE /v1/users/{id}/totp | Remove a user's authenticator
1 DELETE /v1/users/{id}/backup_code | Remove a user's backup codes
1 DELETE /v1/users/{id}/passkeys/{passkey_id} | Remove a passkey
2 DELETE /v1/users/{id}/web3_wallets/{wallet_id} | Remove a wallet
1 DELETE /v1/users/{id}/external_accounts/{account_id} | Unlink an account
1 GET /v1/users/{id}/oauth_access_tokens/{provider} | A provider's access tokens of a user
0 GET /v1/users/{id}/organization_memberships | A user's organizations
1 GET /v1/users/{id}/organization_invitations | A user's invitations
1 POST /v1/users/{id}/verify_password | Check a password
1 POST /v1/users/{id}/verify_totp | Check a code
1 POST /v1/users/{id}/remove_password | Remove a password
1 POST /v1/users/{id}/password/set_compromised | Say that a password is known to others
1 POST /v1/users/{id}/password/unset_compromised | Take that back
1 PUT /v1/users/{id}/email_address | Replace a user's email addresses
1 PUT /v1/users/{id}/phone_number | Replace a user's phone numbers
2 GET /v1/users/{id}/billing/subscription | A user's subscription
# Email addresses and phone numbers
0 POST /v1/email_addresses | Add an email address
0 GET,PATCH,DELETE /v1/email_addresses/{id} | One email address
0 POST /v1/phone_numbers | Add a phone number
0 GET,PATCH,DELETE /v1/phone_numbers/{id} | One phone number
# Sessions and clients
0 GET,POST /v1/sessions | Sessions
0 GET /v1/sessions/{id} | One session
0 POST /v1/sessions/{id}/revoke | Revoke a session
0 POST /v1/sessions/{id}/verify | Check a session token
0 POST /v1/sessions/{id}/tokens | A session token
0 POST /v1/sessions/{id}/tokens/{template} | A token by a JWT template
1 POST /v1/sessions/{id}/refresh | A session token by a refresh token
0 GET /v1/clients | Clients
0 GET /v1/clients/{id} | One client
0 POST /v1/clients/verify | The client of a token
0 GET /v1/clients/handshake_payload | What a handshake brought
# Organizations
0 GET,POST /v1/organizations | Organizations
0 GET,PATCH,DELETE /v1/organizations/{id} | One organization
0 PATCH /v1/organizations/{id}/metadata | Merge metadata
0 PUT /v1/organizations/{id}/metadata | Replace metadata
1 PUT,DELETE /v1/organizations/{id}/logo | An organization's logo
0 GET,POST /v1/organizations/{id}/memberships | Members
0 PATCH,DELETE /v1/organizations/{id}/memberships/{user_id} | One member
0 PATCH /v1/organizations/{id}/memberships/{user_id}/metadata | Merge a membership's metadata
0 GET,POST /v1/organizations/{id}/invitations | Invitations
0 POST /v1/organizations/{id}/invitations/bulk | Invite several people
0 GET /v1/organizations/{id}/invitations/{invitation_id} | One invitation
0 POST /v1/organizations/{id}/invitations/{invitation_id}/revoke | Revoke an invitation
1 GET,POST /v1/organizations/{id}/domains | An organization's email domains
1 PATCH,DELETE /v1/organizations/{id}/domains/{domain_id} | One email domain
2 GET /v1/organizations/{id}/billing/subscription | An organization's subscription
0 GET /v1/organization_memberships | All memberships
1 GET /v1/organization_invitations | All invitations to organizations
1 GET /v1/organization_domains | All email domains of organizations
# Roles and permissions
1 GET,POST /v1/organization_roles | Roles
1 GET,PATCH,DELETE /v1/organization_roles/{id} | One role
1 POST,DELETE /v1/organization_roles/{id}/permissions/{permission_id} | A role's permission
1 GET,POST /v1/organization_permissions | Permissions
1 GET,PATCH,DELETE /v1/organization_permissions/{id} | One permission
1 GET,POST /v1/role_sets | Role sets
1 GET,PATCH /v1/role_sets/{key} | One role set
1 POST /v1/role_sets/{key}/replace | Replace a role set
1 POST /v1/role_sets/{key}/roles | Add roles to a role set
1 POST /v1/role_sets/{key}/roles/replace | Replace a role of a role set
# Invitations, restrictions and the waitlist
0 GET,POST /v1/invitations | Invitations to the application
0 POST /v1/invitations/bulk | Invite several people
0 POST /v1/invitations/{id}/revoke | Revoke an invitation
1 GET,POST /v1/waitlist_entries | The waitlist
1 POST /v1/waitlist_entries/bulk | Add several people to the waitlist
1 DELETE /v1/waitlist_entries/{id} | Take somebody off the waitlist
1 POST /v1/waitlist_entries/{id}/invite | Invite somebody from the waitlist
1 POST /v1/waitlist_entries/{id}/reject | Turn somebody down
1 GET,POST /v1/allowlist_identifiers | The allow-list
1 DELETE /v1/allowlist_identifiers/{id} | Take something off the allow-list
1 GET,POST /v1/blocklist_identifiers | The block-list
1 DELETE /v1/blocklist_identifiers/{id} | Take something off the block-list
# Tokens
0 POST /v1/sign_in_tokens | A link that signs a user in
0 POST /v1/sign_in_tokens/{id}/revoke | Revoke such a link
1 POST /v1/actor_tokens | Act as a user
1 POST /v1/actor_tokens/{id}/revoke | Revoke an actor token
0 POST /v1/testing_tokens | A token with which tests pass the bot check
1 POST /v1/agents/tasks | Let an agent act as a user
1 GET /v1/sign_ups/{id} | One sign-up
1 PATCH /v1/sign_ups/{id} | Change a sign-up
# Keys and tokens of one's own
0 GET /v1/jwks | Public keys of session tokens
1 GET,POST /v1/jwt_templates | JWT templates
1 GET,PATCH,DELETE /v1/jwt_templates/{id} | One JWT template
# The instance
1 GET,PATCH /v1/instance | The instance
1 PATCH /v1/instance/restrictions | Who may sign up
1 PATCH /v1/instance/organization_settings | Settings of organizations
2 POST /v1/instance/change_domain | Change the instance's domain
2 PATCH /v1/instance/communication | Blocked countries of text messages
2 PATCH /v1/instance/protect | Settings of protection
2 GET,PATCH /v1/instance/oauth_application_settings | Settings of OAuth applications
1 GET,POST /v1/redirect_urls | Redirect URLs
1 GET,DELETE /v1/redirect_urls/{id} | One redirect URL
1 GET,POST /v1/domains | Domains of the application
1 PATCH,DELETE /v1/domains/{id} | One domain
2 PATCH /v1/beta_features/instance_settings | Settings under trial
2 POST /v1/proxy_checks | Check a proxy
# Webhooks and messages
1 POST,DELETE /v1/webhooks/svix | The webhook application
1 POST /v1/webhooks/svix_url | Where webhooks are managed
2 POST /v1/email | Send an email
2 GET /v1/templates/{type} | Message templates
2 GET,PUT /v1/templates/{type}/{slug} | One message template
# Machines and OAuth
1 GET,POST /api_keys | API keys
1 GET,PATCH,DELETE /api_keys/{id} | One API key
1 GET /api_keys/{id}/secret | The secret of an API key
1 POST /api_keys/{id}/revoke | Revoke an API key
1 POST /api_keys/verify | Check an API key
1 GET,POST /m2m_tokens | Tokens of machines
1 POST /m2m_tokens/{id}/revoke | Revoke a machine's token
1 POST /m2m_tokens/verify | Check a machine's token
1 GET,POST /v1/machines | Machines
1 GET,PATCH,DELETE /v1/machines/{id} | One machine
1 GET /v1/machines/{id}/secret_key | A machine's secret key
1 POST /v1/machines/{id}/secret_key/rotate | Rotate a machine's secret key
1 POST /v1/machines/{id}/scopes | Let a machine call another
1 DELETE /v1/machines/{id}/scopes/{other_id} | Keep a machine from calling another
1 POST /oauth_applications/access_tokens/verify | Check an OAuth access token
1 GET,POST /v1/oauth_applications | OAuth applications
1 GET,PATCH,DELETE /v1/oauth_applications/{id} | One OAuth application
1 POST /v1/oauth_applications/{id}/rotate_secret | Rotate an OAuth application's secret
1 POST /v1/oauth_applications/{id}/revoke_token | Revoke a token of an OAuth application
# Enterprise connections and billing
2 GET,POST /v1/saml_connections | SAML connections
2 GET,PATCH,DELETE /v1/saml_connections/{id} | One SAML connection
2 GET,POST /v1/enterprise_connections | Enterprise connections
2 GET,PATCH,DELETE /v1/enterprise_connections/{id} | One enterprise connection
2 GET /v1/billing/plans | Plans
2 DELETE /v1/billing/subscription_items/{id} | End a subscription item
2 POST /v1/billing/subscription_items/{id}/extend_free_trial | Extend a trial
2 POST /v1/accountless_applications | An application without an account
2 POST /v1/accountless_applications/complete | Claim such an application
`

/** What a method does where several share a line. */
const verbs: Record<string, string> = { GET: 'read', POST: 'add', PUT: 'set', PATCH: 'change', DELETE: 'remove' }

/** Reads lines as those above. */
export function parseOperations(face: Operation['face'], text: string): Operation[] {
  let tag = ''
  return text
    .trim()
    .split('\n')
    .flatMap((line) => {
      if (line.startsWith('# ')) {
        tag = line.slice(2)
        return []
      }
      const [, priority, methods = '', path = '', summary = ''] = line.match(/^([012]) ([A-Z,]+) (\S+) \| (.+)$/) ?? []
      const common = { face, path, tag, priority: Number(priority) as Operation['priority'] }
      const all = methods.split(',')
      return all.map((method) => ({
        ...common,
        method,
        summary: all.length > 1 ? `${summary}: ${verbs[method] ?? method}` : summary,
      }))
    })
}

/** Every operation that the SDKs know, in the order of the reference. */
export const operations: readonly Operation[] = [
  ...parseOperations('frontend', frontend),
  ...parseOperations('backend', backend),
]
