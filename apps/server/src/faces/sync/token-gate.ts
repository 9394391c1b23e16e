import type { Instance } from '../../domains/instances/index.ts'
import { ExternalIssuers, judgeConnection, type Principal, verifySyncToken } from '../../domains/sync/index.ts'
import { createCtx, publicUrlOf, type Runtime } from '../../runtime.ts'
import { type Admission, type Gate, isLoopbackOrigin, type Offer } from './credentials.ts'
import { admitExternal } from './external-gate.ts'
import { usedTokensOf } from './used-tokens.ts'

/** The third gradation: a token for one document and one person, checked again against what is true now. */
export function tokenGate(runtime: Runtime): Gate {
  const external = new ExternalIssuers((url, request) => runtime.egress(url, request))
  const used = usedTokensOf(runtime)

  return async (offer) => {
    const { docId, token, origin, host, subprotocol, via } = offer
    const instance = runtime.instances.findByHost(host) ?? runtime.instances.getDefault()
    const { issuers, queryTokens, keepStockClients } = instance.settings.sync
    if (origin !== undefined && !isAllowedOrigin(runtime, instance, origin))
      return { admitted: false, status: 403, message: 'Pages of this origin may not connect.' }
    if (token === undefined) {
      // Without an Origin there is no browser, and without a token nobody else either.
      return origin === undefined && subprotocol === ''
        ? { admitted: false, status: 403, message: 'A token is needed.' }
        : { admitted: false, reason: 'unauthenticated', message: 'a token is needed', missing: true }
    }
    if (via === 'query' && queryTokens === 'refuse')
      return { admitted: false, reason: 'unauthenticated', message: 'a token may not stand in the URL' }
    const verdict = issuers.length > 0 ? await external.judge(issuers, token, docId, runtime.now()) : undefined
    const admission = verdict ? admitExternal(instance.id, verdict) : await admitOwn(runtime, instance, offer, token)
    if (!admission.admitted) return admission
    if (via === 'query' && queryTokens === 'once') {
      const { jti, principal, expiresAt } = admission
      const scope = principal.kind === 'external' ? principal.userId : ''
      // Five seconds longer than it says, as long as it would be accepted.
      const endsAt = ((expiresAt ?? 0) + 5) * 1000
      if (!jti || !(await used.spend(`${instance.id} ${scope}`, jti, endsAt, runtime.now().getTime())))
        return { admitted: false, reason: 'unauthenticated', message: 'a token in the URL opens one connection' }
    }
    // They cannot renew in place. Their rights are followed by events, as everybody's.
    if (keepStockClients && subprotocol === '' && admission.principal.kind !== 'external')
      return { ...admission, expiresAt: undefined }
    return admission
  }
}

/** A token of this instance. */
async function admitOwn(
  runtime: Runtime,
  instance: Instance,
  { docId, origin }: Offer,
  token: string,
): Promise<Admission> {
  const claims = await verifySyncToken(instance, token, runtime.now())
  if (!claims) return { admitted: false, reason: 'unauthenticated', message: 'the token is wrong or has expired' }
  // One that was made for the page of one application is not for the pages of another.
  if (origin !== undefined && claims.origin !== undefined && claims.origin !== origin)
    return { admitted: false, reason: 'unauthenticated', message: 'the token is for another application' }
  if (claims.room !== docId)
    return { admitted: false, reason: 'forbidden', message: 'the token is for another document' }
  const principal: Principal = {
    instanceId: instance.id,
    kind: claims.grantedBy,
    userId: claims.userId,
    sessionId: claims.sessionId,
    organizationId: claims.organizationId,
    permissionVersion: claims.permissionVersion,
  }
  const ctx = createCtx(runtime, instance, { type: 'system', job: 'sync' })
  const verdict = await judgeConnection(ctx, principal, docId, claims.access)
  const { access: granted, expiresAt, jti } = claims
  return verdict.allowed
    ? { admitted: true, principal, access: verdict.access, granted, expiresAt, jti }
    : { admitted: false, reason: verdict.reason, message: verdict.message, principal }
}

/** `null` (a sandboxed page, a file) is nobody's origin. */
function isAllowedOrigin(runtime: Runtime, instance: Instance, origin: string): boolean {
  const { allowedOrigins, homeUrl } = instance.settings
  if (origin === new URL(publicUrlOf(runtime, instance)).origin) return true
  if ([...allowedOrigins, ...(homeUrl ? [homeUrl] : [])].some((allowed) => new URL(allowed).origin === origin))
    return true
  return instance.environment === 'development' && isLoopbackOrigin(origin)
}
