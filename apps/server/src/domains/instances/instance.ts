import type { SocialConnection } from '../connections/connections.ts'
import type { InstanceSettings } from './settings.ts'

/** The unit of isolation, as every request carries it: what is needed to serve, with its keys opened. */
export type Instance = {
  id: string
  applicationId: string
  environment: 'development' | 'production'
  name: string
  /** `127.0.0.1:3913`: the host in the publishable key, and so the issuer's. */
  host: string
  publishableKey: string
  /** First 8 characters of base64url(SHA-1(publishable key)): the SDKs append it to their cookies' names. */
  cookieSuffix: string
  settings: InstanceSettings
  signingKeys: readonly SigningKey[]
  /** Social providers that the instance knows, those switched off too. */
  connections: readonly SocialConnection[]
  updatedAt: Date
}

export type SigningKey = {
  kid: string
  algorithm: 'RS256'
  state: 'active' | 'retiring'
  publicJwk: { kty: string; n: string; e: string }
  publicKey: CryptoKey
  privateKey: CryptoKey
}
