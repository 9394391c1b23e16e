import { createHash } from 'node:crypto'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newToken } from '../../kernel/secrets.ts'
import type { Instance } from '../instances/index.ts'
import { type ExternalAccountProfile, findUserByExternalAccount } from '../users/index.ts'
import { consumeOneTimeToken, createOneTimeToken } from '../verifications/index.ts'
import { fetchClaims, parseJson, type Resolved, redeemCode, resolveProvider } from './ask-provider.ts'
import type { SocialConnection } from './connections.ts'
import { sealTokens } from './external-tokens.ts'
import { readProfile } from './profile.ts'

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
  /**
   * Begun by an app outside the browser, which shows itself by a header: the browser that comes back cannot prove to be
   * its, so that what comes of it is handed to the app by a nonce.
   */
  isNative?: boolean
}

type State = Attempt & {
  provider: string
  nonce: string
  codeVerifier: string
  callbackUrl: string
  scopes: string
}

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
  const scopes = [...new Set([...provider.scopes, ...connection.scopes, ...(input.additionalScopes ?? [])])].join(' ')
  const kept = { provider: connection.provider.key, nonce, codeVerifier, callbackUrl, scopes }
  const state = await transaction(ctx, (tx) =>
    createOneTimeToken(tx, {
      kind: 'oauth_state',
      subjectId: attempt.id,
      payload: { ...attempt, ...kept } satisfies State,
      expiresAt: new Date(tx.now().getTime() + stateTtlMs),
    }),
  )
  const url = new URL(provider.authorizationUrl)
  const parameters = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: callbackUrl,
    scope: scopes,
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
    /** Who answers, where the provider says so (RFC 9207). */
    issuer?: unknown
    /** What some providers say about the person beside the code, the first time alone. Nobody has signed it. */
    user?: unknown
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

/** Time for a browser to find its way back into an app. */
const nonceTtlMs = 5 * 60_000

/**
 * Keeps what came of a round trip that an app began outside the browser. Until the app shows the nonce nothing happens:
 * whoever sends their own link to somebody else, and has them go through the provider, is not let in by it.
 *
 * @returns the nonce, for the address that leads back into the app
 */
export async function keepForApp(ctx: Ctx, trip: RoundTrip): Promise<string> {
  const { token } = await transaction(ctx, (tx) =>
    createOneTimeToken(tx, {
      kind: 'rotating_token_nonce',
      subjectId: trip.attempt.id,
      payload: { trip },
      expiresAt: new Date(tx.now().getTime() + nonceTtlMs),
    }),
  )
  return token
}

/**
 * What came of a round trip, for the app that began it.
 *
 * @returns undefined for a nonce that is spent, over, or for something or somebody else; it is not spent by that
 */
export async function takeForApp(
  ctx: Ctx,
  input: { nonce: string; kind: Attempt['kind']; clientId: string; id?: string | undefined },
): Promise<RoundTrip | undefined> {
  const nothing = new UsherError('oauth_callback_invalid', 'There is nothing to take.')
  const take = async (tx: Tx) => {
    const { trip } = (await consumeOneTimeToken(tx, 'rotating_token_nonce', input.nonce)).payload as {
      trip?: RoundTrip
    }
    const { attempt } = trip ?? {}
    const fits = attempt?.kind === input.kind && attempt.clientId === input.clientId
    if (!trip || !fits || (input.id !== undefined && attempt.id !== input.id)) throw nothing
    return trip
  }
  return transaction(ctx, take).catch((error) => {
    if (error instanceof UsherError) return undefined
    throw error
  })
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
  if (input.bindToClient && !state.isNative && state.clientId !== input.clientId) throw invalid()
  return state
}

async function fetchProfile(
  ctx: Ctx,
  connection: SocialConnection,
  state: State,
  input: { code: unknown; issuer?: unknown; user?: unknown; publicUrl: string },
): Promise<ExternalAccountProfile> {
  if (typeof input.code !== 'string' || input.code === '' || input.code.length > 4096)
    throw new UsherError('oauth_provider_failed', 'The provider sent no code.')
  const resolved = await resolveProvider(ctx, connection, input.publicUrl)
  refuseMixUp(resolved, input.issuer)
  const answer = await redeemCode(ctx, resolved, { ...state, code: input.code })
  const claims = await fetchClaims(ctx, resolved, answer, state.nonce)
  const profile = readProfile(
    resolved.provider,
    { ...namesOf(input.user), ...claims },
    grantedScopes(answer.scope, state),
  )
  const known = await transaction(ctx, (tx) => findUserByExternalAccount(tx, profile))
  const before = known?.externalAccounts.find((a) => a.providerUserId === profile.providerUserId)
  if (connection.blockEmailSubaddresses && /[+=#].*@/.test(profile.emailAddress ?? ''))
    throw new UsherError('form_email_address_blocked', 'Addresses with + = or # before the @ are not accepted.')
  return { ...profile, ...sealTokens(ctx, answer, before) }
}

/** A code of one provider is not shown to another. */
function refuseMixUp({ provider }: Resolved, issuer: unknown): void {
  const expected = provider.idToken?.issuer
  if (issuer === undefined || expected === undefined) return
  if (typeof expected === 'string' ? issuer === expected : expected.test(String(issuer))) return
  throw new UsherError('oauth_provider_failed', 'Another provider answered than the one that was asked.')
}

/** Left out, it is what was asked for (RFC 6749 section 5.1). Some write commas or a list. */
function grantedScopes(scope: unknown, asked: State): string {
  const granted = Array.isArray(scope) ? scope.join(' ') : scope
  return typeof granted === 'string' && granted !== '' ? granted.replaceAll(',', ' ') : asked.scopes
}

/** The name that Apple sends with the browser when somebody comes for the first time. */
function namesOf(user: unknown): { given_name?: string; family_name?: string } {
  const name = typeof user === 'string' && user.length <= 1000 ? parseJson(user)?.name : undefined
  const { firstName, lastName } = (typeof name === 'object' && name !== null ? name : {}) as Record<string, unknown>
  return {
    ...(typeof firstName === 'string' && { given_name: firstName }),
    ...(typeof lastName === 'string' && { family_name: lastName }),
  }
}
