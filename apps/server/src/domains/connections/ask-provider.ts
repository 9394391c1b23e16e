import { createLocalJWKSet, importPKCS8, type JSONWebKeySet, jwtVerify, SignJWT } from 'jose'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { SocialConnection } from './connections.ts'
import { demoProvider, redeemDemoCode } from './demo-provider.ts'
import type { Claims, Provider } from './providers.ts'

/** A provider, and as whom it is asked. */
export type Resolved = {
  provider: Provider
  clientId: string
  clientSecret: string
  isDemo: boolean
}

/** Where a provider is and as whom we ask: with its own credentials, or the built-in one of development instances. */
export async function resolveProvider(ctx: Ctx, connection: SocialConnection, publicUrl: string): Promise<Resolved> {
  const { credentials, issuer } = connection
  if (credentials)
    return {
      provider: issuer ? await discover(ctx, connection.provider, issuer) : connection.provider,
      ...credentials,
      isDemo: false,
    }
  if (ctx.instance.environment === 'production')
    throw new UsherError('oauth_provider_not_configured', `${connection.name} is not set up here yet.`)
  return { ...demoProvider(connection.provider, publicUrl), isDemo: true }
}

const discoveries = new Map<string, { at: number; provider: Provider }>()
const discoveryTtlMs = 10 * 60_000

/** OpenID Connect Discovery 1.0. The issuer in the document has to be the one that was asked. */
async function discover(ctx: Ctx, provider: Provider, issuer: string): Promise<Provider> {
  const held = discoveries.get(`${provider.key} ${issuer}`)
  if (held && ctx.now().getTime() - held.at < discoveryTtlMs) return held.provider
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const document = await getJson(ctx, url)
  const text = (name: string) => (typeof document[name] === 'string' ? (document[name] as string) : '')
  if (text('issuer').replace(/\/$/, '') !== issuer.replace(/\/$/, ''))
    throw new UsherError('oauth_provider_failed', 'The provider’s discovery document names another issuer.')
  const found: Provider = {
    ...provider,
    authorizationUrl: provider.authorizationUrl || text('authorization_endpoint'),
    tokenUrl: provider.tokenUrl || text('token_endpoint'),
    ...((provider.userInfoUrl || text('userinfo_endpoint')) && {
      userInfoUrl: provider.userInfoUrl ?? text('userinfo_endpoint'),
    }),
    idToken: { issuer: text('issuer'), jwksUrl: text('jwks_uri') },
  }
  if (!found.authorizationUrl || !found.tokenUrl || !found.idToken?.jwksUrl)
    throw new UsherError('oauth_provider_failed', 'The provider’s discovery document is not complete.')
  discoveries.set(`${provider.key} ${issuer}`, { at: ctx.now().getTime(), provider: found })
  return found
}

/** Changes a code for tokens (RFC 6749 section 4.1.3). @throws {UsherError} `oauth_provider_failed` */
export async function redeemCode(
  ctx: Ctx,
  resolved: Resolved,
  input: { code: string; codeVerifier: string; callbackUrl: string },
): Promise<Claims> {
  if (resolved.isDemo) return redeemDemoCode(ctx, input)
  return requestTokens(ctx, resolved, {
    grant_type: 'authorization_code',
    code: input.code,
    redirect_uri: input.callbackUrl,
    ...(resolved.provider.pkce && { code_verifier: input.codeVerifier }),
  })
}

/** New tokens for a refresh token (RFC 6749 section 6). @throws {UsherError} `oauth_provider_failed` */
export function refreshTokens(ctx: Ctx, resolved: Resolved, refreshToken: string): Promise<Claims> {
  return requestTokens(ctx, resolved, { grant_type: 'refresh_token', refresh_token: refreshToken })
}

async function requestTokens(ctx: Ctx, resolved: Resolved, grant: Record<string, string>): Promise<Claims> {
  const { provider, clientId } = resolved
  const secret = await clientSecretOf(ctx, resolved)
  const inHeader = provider.clientAuthentication === 'basic'
  const body = new URLSearchParams({ ...grant, ...(!inHeader && { client_id: clientId, client_secret: secret }) })
  const basic = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`).toString('base64')
  const answer = await ctx.egress(provider.tokenUrl, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
      ...(inHeader && { authorization: `Basic ${basic}` }),
    },
    body: body.toString(),
  })
  const parsed = parseJson(answer.text)
  if (answer.status >= 400 || !parsed || typeof parsed.access_token !== 'string')
    throw new UsherError('oauth_provider_failed', 'The provider did not accept the sign-in.')
  return parsed
}

/** Apple has no secrets but signs: its applications show a token of their own, made with the key that Apple gave them. */
async function clientSecretOf(ctx: Ctx, { provider, clientId, clientSecret }: Resolved): Promise<string> {
  if (provider.key !== 'apple' || !clientSecret.trimStart().startsWith('{')) return clientSecret
  const { team_id: teamId, key_id: kid, private_key: key } = parseJson(clientSecret) ?? {}
  if (typeof teamId !== 'string' || typeof kid !== 'string' || typeof key !== 'string')
    throw new UsherError('oauth_provider_not_configured', 'Apple needs team_id, key_id and private_key.')
  const seconds = Math.floor(ctx.now().getTime() / 1000)
  return new SignJWT()
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer(teamId)
    .setSubject(clientId)
    .setAudience('https://appleid.apple.com')
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + 300)
    .sign(await importPKCS8(key, 'ES256'))
}

/** Who it is: the ID token where there is one, more from the user info, which has to speak of the same subject. */
export async function fetchClaims(ctx: Ctx, resolved: Resolved, answer: Claims, nonce: string): Promise<Claims> {
  const { provider } = resolved
  const signed = provider.idToken ? await verifyIdToken(ctx, resolved, answer.id_token, nonce) : undefined
  if (resolved.isDemo || !provider.userInfoUrl) return signed ?? answer
  const headers = { authorization: `Bearer ${String(answer.access_token)}`, accept: 'application/json' }
  const info = await getJson(ctx, provider.userInfoUrl, headers, provider.userInfoMethod)
  if (signed && info.sub !== signed.sub)
    throw new UsherError('oauth_provider_failed', 'The provider spoke of two accounts at once.')
  const claims = { ...signed, ...info }
  return provider.emailsUrl ? { ...claims, ...(await provenAddress(ctx, provider.emailsUrl, headers)) } : claims
}

/** The primary address among those that a provider lists with its word on each. */
async function provenAddress(ctx: Ctx, url: string, headers: Record<string, string>): Promise<Claims> {
  const answer = await ctx.egress(url, { headers })
  const parsed = parseAny(answer.text)
  const list = Array.isArray(parsed) ? parsed : ((parsed as { values?: unknown } | undefined)?.values ?? [])
  const primary = (Array.isArray(list) ? list : []).find((e) => e?.primary === true || e?.is_primary === true)
  return { email: primary?.email, email_verified: primary?.verified ?? primary?.is_confirmed }
}

/** Keys are the provider's that we asked, wherever a token says to look; issuer, audience and nonce are ours to know. */
async function verifyIdToken(ctx: Ctx, resolved: Resolved, token: unknown, nonce: string): Promise<Claims> {
  const { provider, clientId } = resolved
  const refuse = () => new UsherError('oauth_provider_failed', 'The provider’s answer could not be verified.')
  const { idToken } = provider
  if (typeof token !== 'string' || !idToken) throw refuse()
  const keys = resolved.isDemo
    ? (JSON.parse(idToken.jwksUrl) as JSONWebKeySet)
    : ((await getJson(ctx, idToken.jwksUrl)) as unknown as JSONWebKeySet)
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(keys), {
      audience: clientId,
      algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'],
      clockTolerance: 60,
      currentDate: ctx.now(),
      requiredClaims: ['sub', 'iss', 'aud', 'exp', 'iat'],
    })
    const fits =
      typeof idToken.issuer === 'string' ? payload.iss === idToken.issuer : idToken.issuer.test(payload.iss ?? '')
    // A tenant is named twice where many share their keys; both have to be the same.
    const oneTenant =
      typeof payload.tid !== 'string' || provider.key !== 'microsoft' || payload.iss?.includes(payload.tid)
    if (!fits || !oneTenant || payload.nonce !== nonce) throw refuse()
    return payload
  } catch (error) {
    ctx.log.info({ err: error, provider: provider.key }, 'an ID token was refused')
    throw refuse()
  }
}

async function getJson(
  ctx: Ctx,
  url: string,
  headers: Record<string, string> = {},
  method: 'GET' | 'POST' = 'GET',
): Promise<Claims> {
  const answer = await ctx.egress(url, { method, headers: { accept: 'application/json', ...headers } })
  const parsed = answer.status < 400 ? parseJson(answer.text) : undefined
  if (!parsed) throw new UsherError('oauth_provider_failed', 'The provider did not answer as it should.')
  return parsed
}

/** A JSON object; undefined for anything else. */
export function parseJson(text: string): Claims | undefined {
  const value = parseAny(text)
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Claims) : undefined
}

function parseAny(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
