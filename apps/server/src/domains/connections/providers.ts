import type { CustomProvider } from './tables.ts'

/** What a provider answered about a person, whatever its names for things. */
export type Claims = Record<string, unknown>

/** A social provider, as data. */
export type Provider = {
  key: string
  name: string
  authorizationUrl: string
  tokenUrl: string
  /** Asked with the access token; absent where the ID token says all. */
  userInfoUrl?: string
  /** POST where it is asked like a procedure. */
  userInfoMethod?: 'POST'
  /** Issuer and keys of its ID tokens. A token of any other issuer is refused, whatever it says. */
  idToken?: { issuer: string | RegExp; jwksUrl: string }
  scopes: string[]
  /** Parameters of its own for the authorization URL. */
  parameters?: Record<string, string>
  /** How the token endpoint knows the application; in the body unless it says otherwise. */
  clientAuthentication?: 'basic'
  pkce: boolean
  claims: ClaimNames
  /** Where proven addresses are listed, for providers whose profile does not say. */
  emailsUrl?: string
}

type ClaimNames = {
  sub: string
  email?: string
  /** Claim by which the provider says that it proved the address. Absent: its word is not taken for it. */
  emailVerified?: string
  firstName?: string
  lastName?: string
  /** One field with the whole name, split at the first space. */
  name?: string
  username?: string
  picture?: string
}

const oidcClaims: ClaimNames = {
  sub: 'sub',
  email: 'email',
  emailVerified: 'email_verified',
  firstName: 'given_name',
  lastName: 'family_name',
  name: 'name',
  username: 'preferred_username',
  picture: 'picture',
}

const all: Provider[] = [
  {
    key: 'google',
    name: 'Google',
    authorizationUrl: 'https://accounts.google.com/o/oauth2/v2/auth',
    tokenUrl: 'https://oauth2.googleapis.com/token',
    userInfoUrl: 'https://openidconnect.googleapis.com/v1/userinfo',
    idToken: {
      issuer: /^(https:\/\/)?accounts\.google\.com$/,
      jwksUrl: 'https://www.googleapis.com/oauth2/v3/certs',
    },
    scopes: ['openid', 'email', 'profile'],
    parameters: { access_type: 'offline' },
    pkce: true,
    claims: oidcClaims,
  },
  {
    key: 'microsoft',
    name: 'Microsoft',
    authorizationUrl: 'https://login.microsoftonline.com/common/oauth2/v2.0/authorize',
    tokenUrl: 'https://login.microsoftonline.com/common/oauth2/v2.0/token',
    idToken: {
      issuer: /^https:\/\/login\.microsoftonline\.com\/[0-9a-f-]{36}\/v2\.0$/,
      jwksUrl: 'https://login.microsoftonline.com/common/discovery/v2.0/keys',
    },
    scopes: ['openid', 'email', 'profile', 'User.Read'],
    pkce: true,
    // Tenants write `email` as they like: only the claim that says the domain's owner is asked for vouches for it.
    claims: { ...oidcClaims, emailVerified: 'xms_edov' },
  },
  {
    key: 'apple',
    name: 'Apple',
    authorizationUrl: 'https://appleid.apple.com/auth/authorize',
    tokenUrl: 'https://appleid.apple.com/auth/token',
    idToken: { issuer: 'https://appleid.apple.com', jwksUrl: 'https://appleid.apple.com/auth/keys' },
    scopes: ['name', 'email'],
    parameters: { response_mode: 'form_post' },
    pkce: true,
    claims: oidcClaims,
  },
  {
    key: 'github',
    name: 'GitHub',
    authorizationUrl: 'https://github.com/login/oauth/authorize',
    tokenUrl: 'https://github.com/login/oauth/access_token',
    userInfoUrl: 'https://api.github.com/user',
    emailsUrl: 'https://api.github.com/user/emails',
    scopes: ['read:user', 'user:email'],
    pkce: true,
    // The profile shows what its owner wants; the word on an address is in the list of them.
    claims: {
      sub: 'id',
      email: 'email',
      emailVerified: 'email_verified',
      name: 'name',
      username: 'login',
      picture: 'avatar_url',
    },
  },
  {
    key: 'gitlab',
    name: 'GitLab',
    authorizationUrl: 'https://gitlab.com/oauth/authorize',
    tokenUrl: 'https://gitlab.com/oauth/token',
    userInfoUrl: 'https://gitlab.com/oauth/userinfo',
    idToken: { issuer: 'https://gitlab.com', jwksUrl: 'https://gitlab.com/oauth/discovery/keys' },
    scopes: ['openid', 'email', 'profile'],
    pkce: true,
    claims: { ...oidcClaims, username: 'nickname' },
  },
  {
    key: 'bitbucket',
    name: 'Bitbucket',
    authorizationUrl: 'https://bitbucket.org/site/oauth2/authorize',
    tokenUrl: 'https://bitbucket.org/site/oauth2/access_token',
    userInfoUrl: 'https://api.bitbucket.org/2.0/user',
    emailsUrl: 'https://api.bitbucket.org/2.0/user/emails',
    scopes: ['account', 'email'],
    clientAuthentication: 'basic',
    pkce: false,
    claims: {
      sub: 'uuid',
      email: 'email',
      emailVerified: 'email_verified',
      name: 'display_name',
      username: 'username',
      picture: 'links.avatar.href',
    },
  },
  {
    key: 'facebook',
    name: 'Facebook',
    authorizationUrl: 'https://www.facebook.com/v23.0/dialog/oauth',
    tokenUrl: 'https://graph.facebook.com/v23.0/oauth/access_token',
    userInfoUrl: 'https://graph.facebook.com/v23.0/me?fields=id,email,first_name,last_name',
    scopes: ['email', 'public_profile'],
    pkce: true,
    claims: { sub: 'id', email: 'email', firstName: 'first_name', lastName: 'last_name' },
  },
  {
    key: 'linkedin_oidc',
    name: 'LinkedIn',
    authorizationUrl: 'https://www.linkedin.com/oauth/v2/authorization',
    tokenUrl: 'https://www.linkedin.com/oauth/v2/accessToken',
    userInfoUrl: 'https://api.linkedin.com/v2/userinfo',
    scopes: ['openid', 'email', 'profile'],
    pkce: false,
    claims: oidcClaims,
  },
  {
    key: 'discord',
    name: 'Discord',
    authorizationUrl: 'https://discord.com/oauth2/authorize',
    tokenUrl: 'https://discord.com/api/oauth2/token',
    userInfoUrl: 'https://discord.com/api/users/@me',
    scopes: ['identify', 'email'],
    pkce: true,
    claims: { sub: 'id', email: 'email', emailVerified: 'verified', name: 'global_name', username: 'username' },
  },
  {
    key: 'slack',
    name: 'Slack',
    authorizationUrl: 'https://slack.com/openid/connect/authorize',
    tokenUrl: 'https://slack.com/api/openid.connect.token',
    userInfoUrl: 'https://slack.com/api/openid.connect.userInfo',
    idToken: { issuer: 'https://slack.com', jwksUrl: 'https://slack.com/openid/connect/keys' },
    scopes: ['openid', 'email', 'profile'],
    pkce: false,
    claims: oidcClaims,
  },
  {
    key: 'twitch',
    name: 'Twitch',
    authorizationUrl: 'https://id.twitch.tv/oauth2/authorize',
    tokenUrl: 'https://id.twitch.tv/oauth2/token',
    userInfoUrl: 'https://id.twitch.tv/oauth2/userinfo',
    idToken: { issuer: 'https://id.twitch.tv/oauth2', jwksUrl: 'https://id.twitch.tv/oauth2/keys' },
    scopes: ['openid', 'user:read:email'],
    parameters: {
      claims: JSON.stringify({
        userinfo: { email: null, email_verified: null, preferred_username: null, picture: null },
      }),
    },
    pkce: false,
    claims: oidcClaims,
  },
  {
    key: 'x',
    name: 'X / Twitter',
    authorizationUrl: 'https://x.com/i/oauth2/authorize',
    tokenUrl: 'https://api.x.com/2/oauth2/token',
    userInfoUrl: 'https://api.x.com/2/users/me?user.fields=profile_image_url,confirmed_email',
    scopes: ['users.read', 'tweet.read', 'users.email'],
    clientAuthentication: 'basic',
    pkce: true,
    claims: {
      sub: 'data.id',
      email: 'data.confirmed_email',
      name: 'data.name',
      username: 'data.username',
      picture: 'data.profile_image_url',
    },
  },
  {
    key: 'dropbox',
    name: 'Dropbox',
    authorizationUrl: 'https://www.dropbox.com/oauth2/authorize',
    tokenUrl: 'https://api.dropboxapi.com/oauth2/token',
    userInfoUrl: 'https://api.dropboxapi.com/2/openid/userinfo',
    userInfoMethod: 'POST',
    scopes: ['openid', 'email', 'profile'],
    pkce: true,
    claims: oidcClaims,
  },
  {
    key: 'notion',
    name: 'Notion',
    authorizationUrl: 'https://api.notion.com/v1/oauth/authorize',
    tokenUrl: 'https://api.notion.com/v1/oauth/token',
    scopes: [],
    parameters: { owner: 'user' },
    clientAuthentication: 'basic',
    pkce: false,
    // The token answer itself says who it is for.
    claims: {
      sub: 'owner.user.id',
      email: 'owner.user.person.email',
      name: 'owner.user.name',
      picture: 'owner.user.avatar_url',
    },
  },
]

const byKey = new Map(all.map((provider) => [provider.key, provider]))

/** Providers that need nothing but an application's credentials. */
export const knownProviders: readonly Provider[] = all

export function findProvider(key: string): Provider | undefined {
  return byKey.get(key)
}

/** A provider of the application's own, by what it said about it. Discovery fills in what is missing. */
export function customProvider(key: string, name: string, custom: CustomProvider): Provider {
  return {
    key,
    name,
    authorizationUrl: custom.authorizationUrl ?? '',
    tokenUrl: custom.tokenUrl ?? '',
    ...(custom.userInfoUrl && { userInfoUrl: custom.userInfoUrl }),
    scopes: custom.issuer ? ['openid', 'email', 'profile'] : [],
    pkce: custom.pkce ?? true,
    claims: { ...oidcClaims, ...custom.claims },
  }
}
