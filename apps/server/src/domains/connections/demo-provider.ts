import { createHash } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { equalSecrets } from '../../kernel/secrets.ts'
import { consumeOneTimeToken, createOneTimeToken } from '../verifications/index.ts'
import type { Claims, Provider } from './providers.ts'

/**
 * The identity provider that development instances have built in, so that social sign-in can be tried with no account
 * anywhere. It takes the place of any provider without credentials; everything but its two endpoints is the code that
 * real providers go through. Production instances never come here.
 */
const issuer = 'urn:usher:demo-provider'
const clientId = 'usher-demo'
const codeTtlMs = 60_000

const keyId = 'demo'
const pair = await generateKeyPair('ES256')
const publicJwk: JWK = { ...(await exportJWK(pair.publicKey)), kid: keyId, alg: 'ES256', use: 'sig' }

/** The built-in provider in the place of another. */
export function demoProvider(provider: Provider, publicUrl: string) {
  const stand: Provider = {
    key: provider.key,
    name: provider.name,
    authorizationUrl: `${publicUrl}/demo-provider/${provider.key}`,
    tokenUrl: '',
    // Held in this process, so that no request has to find its way back to it.
    idToken: { issuer, jwksUrl: JSON.stringify({ keys: [publicJwk] }) },
    scopes: ['openid', 'email', 'profile'],
    pkce: true,
    claims: {
      sub: 'sub',
      email: 'email',
      emailVerified: 'email_verified',
      firstName: 'given_name',
      lastName: 'family_name',
      username: 'preferred_username',
    },
  }
  return { provider: stand, clientId, clientSecret: '' }
}

export type DemoAccount = {
  emailAddress: string
  emailVerified: boolean
  firstName: string
  lastName: string
  /** Tells several accounts with one address apart. */
  number: string
}

/** What the page was asked for by the application. */
export type DemoRequest = { redirectUri: string; state: string; nonce: string; codeChallenge: string }

/**
 * Lets somebody into the demo provider.
 *
 * @returns where the browser goes on
 * @throws {UsherError} `not_implemented` in production instances
 */
export async function approveDemoSignIn(ctx: Ctx, request: DemoRequest, account: DemoAccount): Promise<string> {
  refuseProduction(ctx)
  const emailAddress = account.emailAddress.trim().toLowerCase()
  const subject = createHash('sha256').update(`${emailAddress} ${account.number}`).digest('hex').slice(0, 21)
  const { nonce, codeChallenge, redirectUri } = request
  const payload = {
    nonce,
    codeChallenge,
    redirectUri,
    claims: {
      sub: subject,
      email: emailAddress,
      email_verified: account.emailVerified,
      given_name: account.firstName,
      family_name: account.lastName,
    },
  }
  const expiresAt = new Date(ctx.now().getTime() + codeTtlMs)
  const { token } = await transaction(ctx, (tx: Tx) =>
    createOneTimeToken(tx, { kind: 'demo_provider_code', subjectId: subject, payload, expiresAt }),
  )
  return backTo(request, { code: token })
}

/** Sends somebody back who did not want to. @throws {UsherError} `not_implemented` in production instances */
export function denyDemoSignIn(ctx: Ctx, request: DemoRequest): string {
  refuseProduction(ctx)
  return backTo(request, { error: 'access_denied' })
}

function backTo({ redirectUri, state }: DemoRequest, answer: Record<string, string>): string {
  const url = new URL(redirectUri)
  for (const [name, value] of Object.entries({ ...answer, state })) url.searchParams.set(name, value)
  return url.toString()
}

/** The demo provider's token endpoint. A code is good once, for the redirect and the verifier that it was made for. */
export async function redeemDemoCode(
  ctx: Ctx,
  input: { code: string; codeVerifier: string; callbackUrl: string },
): Promise<Claims> {
  refuseProduction(ctx)
  const refuse = () => new UsherError('oauth_provider_failed', 'The provider did not accept the sign-in.')
  const { payload } = await transaction(ctx, (tx) => consumeOneTimeToken(tx, 'demo_provider_code', input.code)).catch(
    (error) => {
      throw error instanceof UsherError ? refuse() : error
    },
  )
  const { nonce, codeChallenge, redirectUri, claims } = payload as {
    nonce: string
    codeChallenge: string
    redirectUri: string
    claims: Claims
  }
  const challenge = createHash('sha256').update(input.codeVerifier).digest('base64url')
  if (!equalSecrets(challenge, codeChallenge) || redirectUri !== input.callbackUrl) throw refuse()
  const seconds = Math.floor(ctx.now().getTime() / 1000)
  const idToken = await new SignJWT({ ...claims, nonce })
    .setProtectedHeader({ alg: 'ES256', kid: keyId })
    .setIssuer(issuer)
    .setAudience(clientId)
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + 300)
    .sign(pair.privateKey)
  return { access_token: `demo_${input.code}`, id_token: idToken, token_type: 'Bearer', expires_in: 3600 }
}

export function refuseProduction(ctx: Ctx): void {
  if (ctx.instance.environment === 'production')
    throw new UsherError('resource_not_found', 'There is nothing at this address.')
}
