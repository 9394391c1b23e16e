'use client'

import type { Person } from '@/server/presence'
import type { LiveClient } from './use-live-client'

export function People(props: {
  live: LiveClient
  userId: string
  canWrite: boolean
  people: Person[]
  state: string
}) {
  const { live, userId, canWrite, people, state } = props
  return (
    <section className="card" aria-labelledby="people-title">
      <header className="card-head">
        <h2 id="people-title">Here now</h2>
        <span className="badge" data-testid="presence-status" data-state={state}>
          {people.length}
        </span>
      </header>
      <ul className="rows" data-testid="presence">
        {people.map((person) => (
          <li key={person.id} data-testid="presence-person" data-user={person.id}>
            <span>
              {person.name}
              {person.id === userId && <span className="quiet"> (you)</span>}
            </span>
            {person.id !== userId && canWrite && (
              <button
                className="button plain small"
                type="button"
                data-testid="wave"
                onClick={() => live.trpc?.notifications.wave.mutate({ userId: person.id }).catch(() => {})}
              >
                Wave
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}
