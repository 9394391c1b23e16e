import type { Context } from 'hono'
import type { RelyingParty } from '../../domains/credentials/index.ts'
import type { FrontendEnv } from './env.ts'
import { applicationOrigin, parseOrigin } from './origins.ts'

/**
 * The application for which passkeys are made and shown: the page that asks, whose origin was checked before. Not the
 * host of this server, which browsers would refuse on another site's page. An application on several hosts below its
 * home's shares its passkeys among them. Undefined when no page asks.
 */
export function relyingPartyOf(c: Context<FrontendEnv>): RelyingParty | undefined {
  const origin = applicationOrigin(c)
  if (origin === undefined) return undefined
  const { hostname } = new URL(origin)
  const { homeUrl } = c.get('instance').settings
  const home = homeUrl === undefined ? undefined : parseOrigin(homeUrl)?.hostname
  return { rpId: home && hostname.endsWith(`.${home}`) ? home : hostname, origins: [origin] }
}
