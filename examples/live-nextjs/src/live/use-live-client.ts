'use client'

import { useAuth, useSession } from '@clerk/nextjs'
import { createTRPCClient, createWSClient, type TRPCClient, wsLink } from '@trpc/client'
import { useEffect, useEffectEvent, useState } from 'react'
import type { AppRouter } from '@/server/router'
import type { Why } from './ended'
import { freshToken } from './fresh-token'

export type LiveClient = {
  trpc: TRPCClient<AppRouter> | null
  state: 'connecting' | 'live' | 'reconnecting'
  /** Set when the server has said: no more. */
  ended: Why | null
}

/** One tRPC connection for everything on the page, with a token minted anew for each attempt. */
export function useLiveClient(organizationId: string): LiveClient {
  const { getToken } = useAuth()
  const { session } = useSession()
  const [live, setLive] = useState<LiveClient>({ trpc: null, state: 'connecting', ended: null })
  const getFreshToken = useEffectEvent(() => freshToken(getToken, organizationId))
  // Right after signing in the page is there before the SDK has the session: without one there is nothing to ask with.
  const isReady = Boolean(session)

  useEffect(() => {
    if (!isReady) return
    const end = (why: Why) => {
      setLive({ trpc: null, state: 'reconnecting', ended: why })
      void client.close()
    }
    const client = createWSClient({
      url: `${location.origin.replace(/^http/, 'ws')}/api/trpc`,
      connectionParams: async () => {
        const token = await getFreshToken()
        if (token.refused) end(token.refused)
        return { token: token.value ?? '' }
      },
      keepAlive: { enabled: true, intervalMs: 20_000, pongTimeoutMs: 10_000 },
      onOpen: () => setLive((now) => (now.ended ? now : { ...now, state: 'live' })),
      onClose: (cause) => {
        if (cause?.code === 4401) end('signed_out')
        else if (cause?.code === 4403) end('no_access')
        else setLive((now) => (now.ended ? now : { ...now, state: 'reconnecting' }))
      },
    })
    const trpc = createTRPCClient<AppRouter>({ links: [wsLink({ client })] })
    setLive({ trpc, state: 'connecting', ended: null })
    return () => void client.close()
  }, [isReady])

  return live
}
