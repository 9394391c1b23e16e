'use client'

import type { Notification } from '@/server/router'
import { useEvents } from './live-room'
import type { LiveClient } from './use-live-client'

/** What concerns this person, on every device alike. */
export function Notifications({ live }: { live: LiveClient }) {
  const notifications = useEvents<Notification>(live, (trpc, onEvent) => {
    const { unsubscribe } = trpc.notifications.mine.subscribe(undefined, {
      onData: (event) => onEvent(event.id, event.data.data),
    })
    return unsubscribe
  })
  return (
    <section className="card" aria-labelledby="notifications-title">
      <header className="card-head">
        <h2 id="notifications-title">Notifications</h2>
      </header>
      <ul className="rows" data-testid="notifications" aria-live="polite">
        {notifications.length === 0 && <li className="quiet">Nobody has waved yet.</li>}
        {notifications.toReversed().map(({ id, data }) => (
          <li key={id} data-testid="notification">
            {data.text}
          </li>
        ))}
      </ul>
    </section>
  )
}
