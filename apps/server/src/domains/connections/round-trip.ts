import { createHash } from 'node:crypto'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newToken, seal, unseal } from '../../kernel/secrets.ts'
import type { Instance } from '../instances/index.ts'
import type { ExternalAccountProfile } from '../users/index.ts'
import { consumeOneTimeToken, createOneTimeToken } from '../verifications/index.ts'
import type { SocialConnection } from './connections.ts'
import { demoProvider, redeemDemoCode } from './demo-provider.ts'
import { readProfile } from './profile.ts'
import type { Claims, Provider } from './providers.ts'

/** What a round trip to a provider is for, and what the browser gets back to. */
export type Attempt = {
  kind: 'sign_in' | 'sign_up' | 'external_account'
  /** Id of the sign-in, the sign-up or the account that is being linked. */
  id: string
  /** The browser that began it is the one that may finish it. */
  clientId: string
  /** Whose account it is linked to. */
  userId?: string
  redirectUrl: string
  actionCompleteRedirectUrl: string | null
}

type State = Attempt & { provider: string; nonce: string; codeVerifier: string; callbackUrl: string }

/** Time for finding one's password at the provider. */
const stateTtlMs = 15 * 60_000

export type BeginInput = {
  strategy: string
  attempt: Attempt
  /** Where the provider sends the browser back: our callback, as the browser reaches it. */
  callbackUrl: string
  /** Origin under which the built-in provider's pages are reached. */
  publicUrl: string
  additionalScopes?: readonly string[] | undefined
  prompt?: string | undefined
  loginHint?: string | undefined
}

/**
 * The provider of a strategy, if the instance offers it.
 *
 * @throws {UsherError} `strategy_for_user_invalid`
 */
export function connectionFor(instance: Instance, strategy: string): SocialConnection {
  const key = strategy.startsWith('oauth_') ? strategy.slice(6) : ''
  const connection = instance.connections.find((c) => c.provider.key === key)
  if (connection?.enabled) return connection
  throw new UsherError('strategy_for_user_invalid', 'This provider is not offered here.', { param: 'strategy' })
}

/**
 * Begins a round trip (RFC 6749 section 4.1, RFC 7636, OpenID Connect Core section 3.1).
 *
 * @returns the provider's page
 * @throws {UsherError} `strategy_for_user_invalid`, `oauth_provider_not_configured`, `oauth_provider_failed`
 */
export async function beginRoundTrip(ctx: Ctx, input: BeginInput): Promise<string> {
  const connection = connectionFor(ctx.instance, input.strategy)
  const { provider, clientId } = await resolveProvider(ctx, connection, input.publicUrl)
  const nonce = newToken()
  const codeVerifier = newToken()
  const { attempt, callbackUrl } = input
  const state = await transaction(ctx, (tx) =>
    createOneTimeToken(tx, {
      kind: 'oauth_state',
      subjectId: attempt.id,
      payload: { ...attempt, provider: connection.provider.key, nonce, codeVerifier, callbackUrl } satisfies State,
      expiresAt: new Date(tx.now().getTime() + stateTtlMs),
    }),
  )
  const url = new URL(provider.authorizationUrl)
  const scopes = [...new Set([...provider.scopes, ...connection.scopes, ...(input.additionalScopes ?? [])])]
  const parameters = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: callbackUrl,
    scope: scopes.join(' '),
    state: state.token,
    nonce,
    ...(provider.pkce && {
      code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
      code_challenge_method: 'S256',
    }),
    ...(input.prompt && { prompt: input.prompt }),
    ...(input.loginHint && { login_hint: input.loginHint }),
    ...provider.parameters,
  }
  for (const [name, value] of Object.entries(parameters)) if (value) url.searchParams.set(name, value)
  return url.toString()
}

export type RoundTrip = { attempt: Attempt; strategy: string } & (
  | { profile: ExternalAccountProfile }
  | { error: { code: string; message: string } }
)

/**
 * Ends a round trip: spends its state, and asks the provider who came back.
 *
 * @param input.clientId the client of the browser that came back; undefined where browsers are known by other means
 *   than cookies, which a navigation does not carry
 * @throws {UsherError} `oauth_callback_invalid` when it is not a round trip that this browser began
 */
export async function endRoundTrip(
  ctx: Ctx,
  input: {
    state: unknown
    code: unknown
    error: unknown
    clientId: string | undefined
    bindToClient: boolean
    publicUrl: string
  },
): Promise<RoundTrip> {
  const state = await transaction(ctx, (tx) => spendState(tx, input))
  const strategy = `oauth_${state.provider}`
  const attempt = state
  try {
    // What was switched off while the person was away counts as off.
    const connection = connectionFor(ctx.instance, strategy)
    if (input.error !== undefined)
      throw input.error === 'access_denied'
        ? new UsherError('oauth_access_denied', 'You did not allow access to your account.')
        : new UsherError('oauth_provider_failed', 'The provider could not sign you in.')
    return { attempt, strategy, profile: await fetchProfile(ctx, connection, state, input) }
  } catch (error) {
    if (error instanceof UsherError) return { attempt, strategy, error: { code: error.code, message: error.message } }
    ctx.log.warn({ err: error, provider: state.provider }, 'a provider did not answer as it should')
    const message = 'The provider could not be reached. Please try again.'
    return { attempt, strategy, error: { code: 'oauth_provider_failed', message } }
  }
}

async function spendState(
  tx: Tx,
  input: { state: unknown; clientId: string | undefined; bindToClient: boolean },
): Promise<State> {
  const invalid = () =>
    new UsherError('oauth_callback_invalid', 'This sign-in was not begun in this browser, or it is over.')
  const token = await consumeOneTimeToken(tx, 'oauth_state', input.state).catch((error) => {
    throw error instanceof UsherError ? invalid() : error
  })
  const state = token.payload as State
  // Somebody else's browser that is lured here gains nothing, and spends nothing: the refusal undoes it.
  if (input.bindToClient && state.clientId !== input.clientId) throw invalid()
  return state
}

async function fetchProfile(
  ctx: Ctx,
  connection: SocialConnection,
  state: State,
  input: { code: unknown; publicUrl: string },
): Promise<ExternalAccountProfile> {
  if (typeof input.code !== 'string' || input.code === '' || input.code.length > 4096)
    throw new UsherError('oauth_provider_failed', 'The provider sent no code.')
  const resolved = await resolveProvider(ctx, connection, input.publicUrl)
  const answer = await redeemCode(ctx, resolved, state, input.code)
  const claims = await fetchClaims(ctx, resolved, answer, state.nonce)
  const expiresIn = Number(answer.expires_in)
  const kept = { access_token: answer.access_token, refresh_token: answer.refresh_token, id_token: answer.id_token }
  const profile = readProfile(connection.provider, claims, {
    approvedScopes:
      typeof answer.scope === 'string' ? answer.scope.replaceAll(',', ' ') : resolved.provider.scopes.join(' '),
    sealedTokens: seal(ctx.database.keyring, tokensPurpose(ctx), JSON.stringify(kept)),
    tokensExpireAt:
      Number.isFinite(expiresIn) && expiresIn > 0
        ? new Date(ctx.now().getTime() + expiresIn * 1000).toISOString()
        : null,
  })
  if (connection.blockEmailSubaddresses && /[+=#].*@/.test(profile.emailAddress ?? ''))
    throw new UsherError('form_email_address_blocked', 'Addresses with + = or # before the @ are not accepted.')
  return profile
}

/** A provider's tokens, as they were last received; undefined where none are kept. */
export function openExternalTokens(
  ctx: Ctx,
  account: { sealedTokens: string | null },
): { accessToken: string; idToken: string | null } | undefined {
  if (account.sealedTokens === null) return undefined
  const kept = parseJson(unseal(ctx.database.keyring, tokensPurpose(ctx), account.sealedTokens))
  if (typeof kept?.access_token !== 'string') return undefined
  return { accessToken: kept.access_token, idToken: typeof kept.id_token === 'string' ? kept.id_token : null }
}

const tokensPurpose = (ctx: Ctx) => `external_tokens:${ctx.instance.id}`

type Resolved = {
  provider: Provider
  clientId: string
  clientSecret: string
  isDemo: boolean
}

/** Where a provider is and as whom we ask: with its own credentials, or the built-in one of development instances. */
async function resolveProvider(ctx: Ctx, connection: SocialConnection, publicUrl: string): Promise<Resolved> {
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

async function redeemCode(ctx: Ctx, resolved: Resolved, state: State, code: string): Promise<Claims> {
  const { provider, clientId, clientSecret } = resolved
  if (resolved.isDemo) return redeemDemoCode(ctx, { code, ...state })
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    redirect_uri: state.callbackUrl,
    ...(provider.pkce && { code_verifier: state.codeVerifier }),
    ...(provider.clientAuthentication !== 'basic' && { client_id: clientId, client_secret: clientSecret }),
  })
  const basic = `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')}`
  const answer = await ctx.egress(provider.tokenUrl, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
      ...(provider.clientAuthentication === 'basic' && { authorization: basic }),
    },
    body: body.toString(),
  })
  const parsed = parseJson(answer.text)
  if (answer.status >= 400 || !parsed || typeof parsed.access_token !== 'string')
    throw new UsherError('oauth_provider_failed', 'The provider did not accept the sign-in.')
  return parsed
}

/** Who it is: the ID token where there is one, more from the user info, which has to speak of the same subject. */
async function fetchClaims(ctx: Ctx, resolved: Resolved, answer: Claims, nonce: string): Promise<Claims> {
  const { provider } = resolved
  const signed = provider.idToken ? await verifyIdToken(ctx, resolved, answer.id_token, nonce) : undefined
  if (resolved.isDemo || !provider.userInfoUrl) return signed ?? answer
  const headers = { authorization: `Bearer ${String(answer.access_token)}`, accept: 'application/json' }
  const info = await getJson(ctx, provider.userInfoUrl, headers)
  if (signed && info.sub !== signed.sub)
    throw new UsherError('oauth_provider_failed', 'The provider spoke of two accounts at once.')
  const claims = { ...signed, ...info }
  return provider.emailsUrl ? { ...claims, ...(await provenAddress(ctx, provider.emailsUrl, headers)) } : claims
}

/** The primary address among those that a provider lists with its word on each. */
async function provenAddress(ctx: Ctx, url: string, headers: Record<string, string>): Promise<Claims> {
  const answer = await ctx.egress(url, { headers })
  const parsed: unknown = JSON.parse(answer.text)
  const list = Array.isArray(parsed) ? (parsed as { email?: unknown; primary?: unknown; verified?: unknown }[]) : []
  const primary = list.find((e) => e.primary === true)
  return { email: primary?.email, email_verified: primary?.verified }
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
    if (!fits || payload.nonce !== nonce) throw refuse()
    return payload
  } catch (error) {
    ctx.log.info({ err: error, provider: provider.key }, 'an ID token was refused')
    throw refuse()
  }
}

async function getJson(ctx: Ctx, url: string, headers: Record<string, string> = {}): Promise<Claims> {
  const answer = await ctx.egress(url, { headers: { accept: 'application/json', ...headers } })
  const parsed = answer.status < 400 ? parseJson(answer.text) : undefined
  if (!parsed) throw new UsherError('oauth_provider_failed', 'The provider did not answer as it should.')
  return parsed
}

function parseJson(text: string): Claims | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Claims) : undefined
  } catch {
    return undefined
  }
}
