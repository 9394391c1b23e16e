export type { ExternalAccountProfile as ExternalProfile } from '../users/index.ts'
export {
  type ConnectionInput,
  openConnection,
  readConnections,
  removeConnection,
  type SocialConnection,
  setConnection,
} from './connections.ts'
export { approveDemoSignIn, type DemoRequest, denyDemoSignIn, refuseProduction } from './demo-provider.ts'
export { type ExternalTokens, openExternalTokens } from './external-tokens.ts'
export { knownProviders } from './providers.ts'
export {
  type Attempt,
  beginRoundTrip,
  connectionFor,
  endRoundTrip,
  keepForApp,
  type RoundTrip,
  takeForApp,
} from './round-trip.ts'
export { type CustomProvider, socialConnections } from './tables.ts'
