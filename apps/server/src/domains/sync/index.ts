export { accessByRules, findStanding, ownerOf } from './access.ts'
export { advanceEpoch } from './advance-epoch.ts'
export { type CloseReason, closeCodes } from './close-codes.ts'
export { type Access, Connection, type Principal, type Socket, type Subprotocol } from './connection.ts'
export {
  BackendSyncTokenInput,
  createSyncTokenForBackend,
  createSyncTokenForSession,
  SessionSyncTokenInput,
  type SyncToken,
} from './create-sync-token.ts'
export { deleteDocument } from './delete-document.ts'
export { findDeletedDocuments } from './deleted-document.ts'
export { isDocId } from './doc-id.ts'
export { SyncEngine } from './engine.ts'
export {
  ExternalIssuers,
  type ExternalPerson,
  type ExternalVerdict,
  externalAccess,
  versionOfIssuer,
} from './external-token.ts'
export { changesRights, endedOrganization, judgeConnection, type Verdict } from './judge-connection.ts'
export { Bucket, Buckets, defaultLimits, type SyncLimits } from './limits.ts'
export { deniedFrame } from './protocol.ts'
export { Renewals } from './renewals.ts'
export type { Entry, Room } from './room.ts'
export type { Segment } from './room-log.ts'
export { type Counted, SharedCounts } from './shared-caps.ts'
export type { RoomKindName } from './store.ts'
export { verifySyncToken } from './sync-token.ts'
export { UsedTokens } from './used-tokens.ts'
