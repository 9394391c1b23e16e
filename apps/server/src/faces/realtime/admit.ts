import { type ChannelPrincipal, judgeChannels } from '../../domains/channels/index.ts'
import type { Instance } from '../../domains/instances/index.ts'
import { verifySessionToken } from '../../domains/sessions/index.ts'
import { type CloseReason, ExternalIssuers, type ExternalPerson, verifySyncToken } from '../../domains/sync/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { createCtx, publicUrlOf, type Runtime } from '../../runtime.ts'
import { isLoopbackOrigin, type Offer } from '../sync/credentials.ts'
import { usedTokensOf } from '../sync/used-tokens.ts'

/** What a client shows to be let in. Nothing in here comes from a cookie: cookies never authenticate a socket. */
export type Credential = { token: string; via: Offer['via']; origin: string | undefined; host: string }

export type Admitted = {
  principal: ChannelPrincipal
  /** Seconds since 1970; undefined: the credential does not end. */
  expiresAt: number | undefined
}

export type Refused = { reason: CloseReason; message: string }

export function instanceOf(runtime: Runtime, host: string): Instance {
  return runtime.instances.findByHost(host) ?? runtime.instances.getDefault()
}

/** Whether pages of an origin may open sockets. `null` (a sandboxed page, a file) is nobody's origin. */
export function isAllowedOrigin(runtime: Runtime, instance: Instance, origin: string): boolean {
  const { allowedOrigins, homeUrl } = instance.settings
  if (origin === new URL(publicUrlOf(runtime, instance)).origin) return true
  if ([...allowedOrigins, ...(homeUrl ? [homeUrl] : [])].some((allowed) => new URL(allowed).origin === origin))
    return true
  return instance.environment === 'development' && isLoopbackOrigin(origin)
}

/**
 * Who comes with a credential: a person by a session token or a token for one document, somebody of another issuer whom
 * the settings trust, or the application's server by its secret key.
 */
export function createAdmission(runtime: Runtime): (credential: Credential) => Promise<Admitted | Refused> {
  const external = new ExternalIssuers((url, request) => runtime.egress(url, request))
  const used = usedTokensOf(runtime)

  return async (credential) => {
    const { token, host, via } = credential
    if (token.startsWith('sk_')) return admitBackend(runtime, credential)
    const instance = instanceOf(runtime, host)
    const ctx = createCtx(runtime, instance, { type: 'system', job: 'channels' })
    const { issuers, queryTokens } = instance.settings.sync
    const person = issuers.length > 0 ? await external.verify(issuers, token, runtime.now()) : undefined
    if (person && 'allowed' in person) return { reason: person.reason, message: person.message }
    const found = person
      ? { principal: externalPrincipal(instance, person), expiresAt: person.expiresAt, jti: person.jti }
      : ((await documentToken(runtime, instance, credential)) ?? (await sessionToken(ctx, credential)))
    if ('reason' in found) return found
    const { principal, expiresAt, jti } = found
    const { isSignedIn, ended } = await judgeChannels(ctx, principal, [])
    if (!isSignedIn) return ended ?? { reason: 'revoked', message: 'the session has ended' }
    // Session tokens are no business of the setting: pages make a new one each minute.
    if (via === 'query' && principal.kind !== 'session' && queryTokens !== 'allow') {
      if (queryTokens === 'refuse') return { reason: 'unauthenticated', message: 'a token may not stand in the URL' }
      const scope = principal.kind === 'external' ? principal.userId : ''
      // Five seconds longer than it says, as long as it would be accepted.
      const endsAt = (expiresAt + 5) * 1000
      if (!jti || !(await used.spend(`${instance.id} ${scope}`, jti, endsAt, runtime.now().getTime())))
        return { reason: 'unauthenticated', message: 'a token in the URL opens one connection' }
    }
    return { principal, expiresAt }
  }
}

type Found = { principal: ChannelPrincipal; expiresAt: number; jti: string | undefined }

const otherApplication = {
  reason: 'unauthenticated',
  message: 'the token is for another application',
} as const satisfies Refused

function admitBackend(runtime: Runtime, { token, origin }: Credential): Admitted | Refused {
  const instance = runtime.instances.findBySecretKey(token)
  if (!instance) return { reason: 'unauthenticated', message: 'the secret key is not known here' }
  if (origin !== undefined) {
    runtime.log.warn({ instance: instance.id, origin }, 'a page used the secret key: it has leaked, replace it')
    return { reason: 'forbidden', message: 'the secret key is for servers' }
  }
  return { principal: { kind: 'backend', instanceId: instance.id }, expiresAt: undefined }
}

const externalPrincipal = (instance: Instance, person: ExternalPerson): ChannelPrincipal => ({
  kind: 'external',
  instanceId: instance.id,
  userId: person.userId,
  person,
})

/** @returns undefined for what is no token for a document */
async function documentToken(
  runtime: Runtime,
  instance: Instance,
  { token, origin }: Credential,
): Promise<Found | Refused | undefined> {
  const claims = await verifySyncToken(instance, token, runtime.now())
  if (!claims) return undefined
  if (origin !== undefined && claims.origin !== undefined && claims.origin !== origin) return otherApplication
  const { room: docId, access: granted, userId, sessionId, organizationId, permissionVersion, expiresAt, jti } = claims
  const whose = { instanceId: instance.id, userId }
  const principal = { ...whose, kind: claims.grantedBy, sessionId, organizationId, permissionVersion }
  return { principal: { ...whose, kind: 'document', docId, granted, principal }, expiresAt, jti }
}

async function sessionToken(ctx: Ctx, { token, origin }: Credential): Promise<Found | Refused> {
  const claims = await verifySessionToken(ctx, token).catch((error: unknown) => {
    if (error instanceof UsherError) return undefined
    throw error
  })
  if (!claims) return { reason: 'unauthenticated', message: 'the token is wrong or has expired' }
  // One that was made for the page of one application is not for the pages of another.
  if (claims.azp && origin !== undefined && claims.azp !== origin) return otherApplication
  if (claims.sts === 'pending') return { reason: 'forbidden', message: 'the session has tasks to do first' }
  const principal = { instanceId: ctx.instance.id, userId: claims.sub, sessionId: claims.sid }
  return { principal: { kind: 'session', ...principal }, expiresAt: claims.exp, jti: claims.jti }
}
