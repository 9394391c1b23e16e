import { authenticateUpgrade, type UpgradeRequest } from '@usher/nextjs/realtime'
import type { WebSocket } from 'ws'
import { enterRoom } from '@/server/presence'

/** Who is in the organization right now: a plain WebSocket of next-ws, opened with a ticket. */
export async function UPGRADE(client: WebSocket, _server: unknown, request: UpgradeRequest): Promise<void> {
  const auth = await authenticateUpgrade(client, request, { require: { permission: 'org:chat:read' } })
  if (auth) await enterRoom(client, auth)
}

/** Next.js wants a method; there is nothing to get here. */
export function GET(): Response {
  return new Response(null, { status: 426, headers: { upgrade: 'websocket' } })
}
