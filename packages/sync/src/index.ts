export { Awareness } from 'y-protocols/awareness'
export {
  type Channel,
  ChannelError,
  type ChannelEvents,
  type ChannelMember,
  type ChannelMessage,
  type ChannelOptions,
  type ChannelState,
} from './channels.ts'
export { type CloseReason, closeReason, isFinal } from './close-codes.ts'
export { type ConnectOptions, connect, type SyncConnection } from './connect.ts'
export type { Access, ConnectionState, StopReason } from './connection-state.ts'
export { type Crdt, yjsCrdt } from './crdt.ts'
export {
  CryptoError,
  type CryptoErrorCode,
  contentType,
  type DocumentKeys,
  encodeLinkPayload,
  fixedDocumentKey,
  linkKeys,
  linkText,
  linkUrl,
  newRoomSecret,
  parseLink,
  passphraseKeys,
  qrSvg,
  type RoomKeys,
  roomKey,
} from './crypto/index.ts'
export {
  type ChannelDefinition,
  type ChannelRule,
  type ChannelTypeSettings,
  type DefinedChannels,
  defineChannels,
  type EventSchema,
  type EventsOf,
} from './define-channels.ts'
export { encryptedWebSocket } from './encrypted-web-socket.ts'
export { indexedDbStorage } from './indexed-db.ts'
export { connectRealtime, type RealtimeConnection, type RealtimeOptions } from './realtime.ts'
export { createRoomLink } from './room-link.ts'
export type { SyncProblem } from './session.ts'
export type { DocumentStorage, OpenStorage, StoredDocument } from './storage.ts'
export { AccessDenied, type GetToken, type Grant } from './token.ts'
export { tokenWebSocket, type WebSocketConstructor, type WebSocketLike } from './token-web-socket.ts'
