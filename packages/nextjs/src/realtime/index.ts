export {
  type Authenticated,
  authenticateUpgrade,
  type UpgradeOptions,
  type UpgradeRequest,
} from './authenticate-upgrade.ts'
export { createTicketRoute } from './create-ticket-route.ts'
export type { Actor, EndReason, Requirement } from './live-auth.ts'
export { type ChannelEvent, subscribeChannel } from './subscribe-channel.ts'
export { createUsherContext, type UsherContext, upgradeTrpc, usherProcedure } from './trpc.ts'
export { createUsherServer, type UsherServer, type UsherSettings } from './usher-server.ts'
