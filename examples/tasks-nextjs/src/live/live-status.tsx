'use client'

import { useLive } from './live-room'

const words = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Reconnecting…',
  ended: 'Disconnected',
} as const

/** The state of the connection, and who else is here. */
export function LiveStatus() {
  const { connection, people } = useLive()
  return (
    <div className="live">
      <ul className="people" data-testid="presence" aria-label="Here now">
        {people.map((person) => (
          <li key={person.id} data-testid="presence-person" title={person.name} style={{ '--hue': hue(person.id) }}>
            <span aria-hidden="true">{initials(person.name)}</span>
            <span className="unseen">{person.name}</span>
          </li>
        ))}
      </ul>
      <span className="badge" role="status" data-testid="note-status" data-state={connection.state}>
        {words[connection.state]}
      </span>
    </div>
  )
}

function initials(name: string): string {
  const words = name.split(/[\s@.]+/).filter(Boolean)
  return words
    .slice(0, 2)
    .map((word) => [...word][0]?.toUpperCase())
    .join('')
}

function hue(id: string): number {
  let sum = 0
  for (const char of id) sum = (sum * 31 + char.charCodeAt(0)) % 360
  return sum
}
