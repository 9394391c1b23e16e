import type { Instance } from '../../domains/instances/index.ts'
import { judgeConnection, type Principal, verifySyncToken } from '../../domains/sync/index.ts'
import { createCtx, publicUrlOf, type Runtime } from '../../runtime.ts'
import { type Gate, isLoopbackOrigin } from './credentials.ts'

/** The third gradation: a token for one document and one person, checked again against what is true now. */
export function tokenGate(runtime: Runtime): Gate {
  return async ({ docId, token, origin, host, subprotocol }) => {
    const instance = runtime.instances.findByHost(host) ?? runtime.instances.getDefault()
    if (origin !== undefined && !isAllowedOrigin(runtime, instance, origin))
      return { admitted: false, status: 403, message: 'Pages of this origin may not connect.' }
    if (token === undefined) {
      // Without an Origin there is no browser, and without a token nobody else either.
      return origin === undefined && subprotocol === ''
        ? { admitted: false, status: 403, message: 'A token is needed.' }
        : { admitted: false, reason: 'unauthenticated', message: 'a token is needed', missing: true }
    }
    const claims = await verifySyncToken(instance, token, runtime.now())
    if (!claims) return { admitted: false, reason: 'unauthenticated', message: 'the token is wrong or has expired' }
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
    return verdict.allowed
      ? { admitted: true, principal, access: verdict.access, granted: claims.access, expiresAt: claims.expiresAt }
      : { admitted: false, reason: verdict.reason, message: verdict.message, principal }
  }
}

/** `null` (a sandboxed page, a file) is nobody's origin. */
function isAllowedOrigin(runtime: Runtime, instance: Instance, origin: string): boolean {
  const { allowedOrigins, homeUrl } = instance.settings
  if (origin === new URL(publicUrlOf(runtime, instance)).origin) return true
  if ([...allowedOrigins, ...(homeUrl ? [homeUrl] : [])].some((allowed) => new URL(allowed).origin === origin))
    return true
  return instance.environment === 'development' && isLoopbackOrigin(origin)
}
