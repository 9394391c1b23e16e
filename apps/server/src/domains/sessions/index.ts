export {
  type ActorToken,
  type ActorTokenInput,
  createActorToken,
  readActorToken,
  revokeActorToken,
  type SessionActor,
} from './actor-tokens.ts'
export {
  type ClientCarrier,
  createClient,
  createDevBrowser,
  deleteClient,
  isDevBrowserHost,
  type NewClientToken,
  noteClientFlow,
  rotateClientToken,
} from './clients.ts'
export { type Browser, type CreateSessionInput, createSession, type SeenUser } from './create-session.ts'
export { deleteOverSessions } from './delete-over.ts'
export { deviceStanding, forgetDevices, rememberDevice } from './devices.ts'
export {
  endSession,
  removeClientSessions,
  removeSession,
  revokeSession,
  revokeUserSessions,
} from './end-session.ts'
export { createHandshake, type HandshakeInput, takeHandshakeDirectives } from './handshake.ts'
export {
  createJwtTemplate,
  deleteJwtTemplate,
  getJwtTemplate,
  type JwtTemplate,
  type JwtTemplateInput,
  listJwtTemplates,
  longestTokenLifetime,
  mintTemplateToken,
  openSigningKey,
  updateJwtTemplate,
} from './jwt-templates.ts'
export { openJwt } from './open-jwt.ts'
export { noteFactors, notePasswordReset } from './prove-again.ts'
export {
  type Client,
  type ClientRecord,
  findClient,
  getClient,
  getSession,
  listClients,
  listSessions,
  type Session,
  type SessionRecord,
  withPeople,
} from './queries.ts'
export { createRefreshToken, type RefreshInput, refreshSession } from './refresh.ts'
export { type Watch, watchSessions } from './session-cache.ts'
export {
  type ClientState,
  findClientState,
  findSessionState,
  type IdentifiedClient,
  identifyClient,
  type SessionState,
} from './session-state.ts'
export {
  activeOrganizationOf,
  isSignedIn,
  type SessionTask,
  sessionStatusAt,
  sessionTasksOf,
} from './session-status.ts'
export { mintSessionToken, type SessionClaims, verifySessionToken } from './session-token.ts'
export { issuerOf, signJwt } from './sign-jwt.ts'
export { signingAlgorithms } from './tables.ts'
export { touchSession } from './touch-session.ts'
