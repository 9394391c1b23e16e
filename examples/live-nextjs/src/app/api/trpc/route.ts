import { upgradeTrpc } from '@usher/nextjs/realtime'
import { router } from '@/server/router'

/** tRPC over one WebSocket: chat and notifications. */
export const UPGRADE = upgradeTrpc({ router })

/** Next.js wants a method; there is nothing to get here. */
export function GET(): Response {
  return new Response(null, { status: 426, headers: { upgrade: 'websocket' } })
}
