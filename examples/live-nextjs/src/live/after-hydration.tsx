'use client'

import { type ReactNode, useSyncExternalStore } from 'react'

const never = () => () => {}

/**
 * Clerk's components draw nothing until the SDK has loaded, and look at that while React takes over the server's page. On a
 * reload the SDK can be ready before React is, with another page than the server's. So they come one step later.
 */
export function AfterHydration({ children }: { children: ReactNode }) {
  const isHydrated = useSyncExternalStore(
    never,
    () => true,
    () => false,
  )
  return isHydrated ? children : null
}
