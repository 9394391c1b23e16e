import type { Context } from 'hono'
import type { RelyingParty } from '../../domains/credentials/index.ts'
import type { FrontendEnv } from './env.ts'
import { applicationOrigin } from './origins.ts'

/**
 * The application for which passkeys are made and shown: the page that asks, whose origin was checked before. Not the
 * host of this server, which browsers would refuse on another site's page.
 */
export function relyingPartyOf(c: Context<FrontendEnv>): RelyingParty | undefined {
  const origin = applicationOrigin(c)
  return origin === undefined ? undefined : { rpId: new URL(origin).hostname, origins: [origin] }
}
