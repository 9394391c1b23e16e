export { checkEvent } from './check-event.ts'
export { deleteChannels, deleteOldChannelMessages } from './delete-old-messages.ts'
export type { ChannelErrorCode, ChannelFrame } from './frames.ts'
export { ChannelHub, type Published, type Since } from './hub.ts'
export { channelsOf, useChannels } from './hub-of.ts'
export { type ChannelPrincipal, judgeChannels } from './judge-channels.ts'
export type { DocumentPrincipal, ExternalPrincipal } from './judge-documents.ts'
export type { Judgement } from './judgement.ts'
export { channelLimits } from './limits.ts'
export { type ChannelHistory, listChannelMessages } from './list-channel-messages.ts'
export {
  authChannel,
  ChannelName,
  documentChannel,
  isChannelName,
  isDocumentChannel,
  isEventName,
  notificationsChannel,
} from './names.ts'
export { listNotifications, markNotificationsRead, type Notifications } from './notifications.ts'
export { Peer, type PeerSocket, type Subscription } from './peer.ts'
export { PublishInput, publishMessage } from './publish-message.ts'
export { readJson } from './read-json.ts'
export { documentTypeFor, isReserved, matchType, type Rights, typeFor } from './rules.ts'
export { ChannelSession } from './session.ts'
