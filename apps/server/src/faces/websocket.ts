import type { ServerWebSocket, WebSocketHandler } from 'bun'
import { watchPeers } from './liveness.ts'
import { type RealtimePlane, RealtimeSocket } from './realtime/index.ts'
import type { SocketData, SyncPlane } from './sync/index.ts'

export type AnySocketData = SocketData | RealtimeSocket

const isRealtime = (socket: ServerWebSocket<AnySocketData>): socket is ServerWebSocket<RealtimeSocket> =>
  socket.data instanceof RealtimeSocket

/** A server has one handler for all its sockets: each goes to the plane that let it in. */
export function websocketOf(sync: SyncPlane['websocket'], realtime: RealtimePlane): WebSocketHandler<AnySocketData> {
  type Sync = ServerWebSocket<SocketData>
  return watchPeers<AnySocketData>({
    ...sync,
    data: undefined as unknown as AnySocketData,
    open: (socket) => (isRealtime(socket) ? realtime.open(socket) : sync.open?.(socket as Sync)),
    message: (socket, message) =>
      isRealtime(socket) ? realtime.message(socket, message) : sync.message?.(socket as Sync, message),
    drain: (socket) => (isRealtime(socket) ? undefined : sync.drain?.(socket as Sync)),
    close: (socket, code, reason) =>
      isRealtime(socket) ? realtime.closed(socket, code) : sync.close?.(socket as Sync, code, reason),
  } as WebSocketHandler<AnySocketData>)
}
