/** What a provider said about a person who signed in there. Only `provider` and `providerUserId` are authority. */
export type ExternalProfile = {
  /** `google`, `custom_…`. */
  provider: string
  /** `sub`; never empty. */
  providerUserId: string
  emailAddress: string | null
  /** True only when the provider itself says that it proved the address. */
  emailVerified: boolean
  firstName: string | null
  lastName: string | null
  username: string | null
  imageUrl: string | null
  phoneNumber: string | null
  approvedScopes: string
  /** Sealed; see `external_accounts.sealed_tokens`. */
  sealedTokens: string | null
  tokensExpireAt: string | null
}
