import { type ClerkClient, createClerkClient } from '@clerk/backend'
import type { Ready } from './usher.ts'

/** The unmodified server SDK, as an application of this server would use it. */
export function serverSdk(ready: Pick<Ready, 'url' | 'secret_key' | 'publishable_key'>): ClerkClient {
  const { url: apiUrl, secret_key: secretKey, publishable_key: publishableKey } = ready
  return createClerkClient({ secretKey, publishableKey, apiUrl, telemetry: { disabled: true } })
}
