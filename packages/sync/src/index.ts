export { type CloseReason, closeReason, isFinal } from './close-codes.ts'
export { AccessDenied, type GetToken, type Grant } from './token.ts'
export { tokenWebSocket, type WebSocketConstructor, type WebSocketLike } from './token-web-socket.ts'
