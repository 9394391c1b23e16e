import type { SyncIssuer } from '../../domains/instances/index.ts'
import type { ExternalIssuers, ExternalVerdict, Principal } from '../../domains/sync/index.ts'
import type { Admission, Gate } from './credentials.ts'
import { standaloneInstance } from './static-gate.ts'

/** What the verdict about another issuer's token means at the door. */
export function admitExternal(instanceId: string, verdict: ExternalVerdict): Admission {
  const principal = (userId: string, organizationId?: string, permissionVersion?: string): Principal => ({
    instanceId,
    kind: 'external',
    userId,
    sessionId: undefined,
    organizationId,
    permissionVersion,
  })
  if (!verdict.allowed) {
    const { reason, message, userId } = verdict
    return { admitted: false, reason, message, ...(userId !== undefined && { principal: principal(userId) }) }
  }
  const { access, userId, organizationId, version, expiresAt, jti } = verdict.claims
  return {
    admitted: true,
    principal: principal(userId, organizationId, version),
    access,
    granted: access,
    expiresAt,
    jti,
  }
}

/** The third gradation of a stand-alone server: tokens of one issuer, which somebody else runs. */
export function externalGate(options: { issuers: ExternalIssuers; issuer: SyncIssuer; now?: () => Date }): Gate {
  const { issuers, issuer, now = () => new Date() } = options
  return async ({ origin, token, docId }) => {
    if (origin === 'null') return { admitted: false, status: 403, message: 'Pages of this origin may not connect.' }
    if (token === undefined)
      return { admitted: false, reason: 'unauthenticated', message: 'a token is needed', missing: true }
    const verdict = await issuers.judge([issuer], token, docId, now())
    return verdict
      ? admitExternal(standaloneInstance, verdict)
      : { admitted: false, reason: 'unauthenticated', message: 'the token is wrong or has expired' }
  }
}
