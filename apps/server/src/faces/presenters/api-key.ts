import type { ApiKey } from '../../domains/api-keys/index.ts'

/**
 * @param options.secret only for whoever just made the key
 * @param options.effective for the application that asks what somebody may do: scopes that can be used at this moment
 */
export function presentApiKey(key: ApiKey, options: { secret?: string; effective?: boolean } = {}) {
  return {
    object: 'api_key' as const,
    id: key.id,
    type: 'api_key',
    name: key.name,
    subject: key.subject,
    scopes: options.effective ? key.effectiveScopes : key.scopes,
    claims: key.claims,
    revoked: key.revoked,
    revocation_reason: key.revocationReason,
    expired: key.expired,
    suspended: key.suspended,
    expiration: key.expiresAt?.getTime() ?? null,
    created_by: key.createdBy,
    description: key.description,
    last_used_at: key.lastUsedAt?.getTime() ?? null,
    created_at: key.createdAt.getTime(),
    updated_at: key.updatedAt.getTime(),
    ...(options.secret !== undefined && { secret: options.secret }),
  }
}
