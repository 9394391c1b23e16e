'use client'

import { useEffect, useState } from 'react'
import { Chat } from './chat'
import { Ended } from './ended'
import { Notifications } from './notifications'
import { People } from './people'
import { SecretNote } from './secret-note'
import { type LiveClient, useLiveClient } from './use-live-client'
import { usePresence } from './use-presence'

/** One organization, live. Another one is another page: nothing of the one before may be left on it. */
export function LiveRoom({
  organizationId,
  userId,
  canWrite,
}: {
  organizationId: string
  userId: string
  canWrite: boolean
}) {
  const live = useLiveClient(organizationId)
  const presence = usePresence(live.ended ? null : organizationId)
  if (live.ended) return <Ended why={live.ended} />
  return (
    <div className="page" data-testid="live-room">
      <Chat live={live} userId={userId} canWrite={canWrite} people={presence.people} onTyping={presence.setTyping} />
      <div className="side">
        <People live={live} userId={userId} canWrite={canWrite} people={presence.people} state={presence.state} />
        <Notifications live={live} />
      </div>
      <SecretNote documentId={`${organizationId}/secret`} organizationId={organizationId} canWrite={canWrite} />
    </div>
  )
}

/** What a subscription has brought so far, each event once. */
export function useEvents<T>(
  live: LiveClient,
  subscribe: (trpc: NonNullable<LiveClient['trpc']>, onEvent: (id: string, data: T) => void) => () => void,
): { id: string; data: T }[] {
  const [events, setEvents] = useState<{ id: string; data: T }[]>([])
  // biome-ignore lint/correctness/useExhaustiveDependencies(subscribe): written inline by its callers, and always the same
  useEffect(() => {
    if (!live.trpc) return
    setEvents([])
    return subscribe(live.trpc, (id, data) =>
      setEvents((known) => (known.some((event) => event.id === id) ? known : [...known, { id, data }].slice(-200))),
    )
  }, [live.trpc])
  return events
}
