import type { ExternalTokens } from '../../domains/connections/index.ts'
import type { ExternalAccount } from '../../domains/users/index.ts'

/** A provider's token for the application's own server; undefined where none is kept. */
export function presentOauthAccessToken(account: ExternalAccount, tokens: ExternalTokens | undefined) {
  if (!tokens) return undefined
  return {
    object: 'oauth_access_token' as const,
    external_account_id: account.id,
    provider_user_id: account.providerUserId,
    provider: `oauth_${account.provider}`,
    token: tokens.accessToken,
    token_secret: null,
    id_token: tokens.idToken,
    public_metadata: account.publicMetadata,
    label: account.label,
    scopes: account.approvedScopes.split(' ').filter(Boolean),
    expires_at: tokens.expiresAt?.getTime() ?? null,
  }
}
