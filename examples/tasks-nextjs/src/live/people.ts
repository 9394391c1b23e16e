export type Person = { id: string; name: string }

/** Everybody in a room, once each. Awareness is what other browsers say of themselves: fit to show, never to trust. */
export function peopleIn(states: Map<number, Record<string, unknown>>): Person[] {
  const people = new Map<string, Person>()
  for (const { user } of states.values()) {
    if (!user || typeof user !== 'object' || !('id' in user) || !('name' in user)) continue
    if (typeof user.id !== 'string' || typeof user.name !== 'string') continue
    people.set(user.id, { id: user.id, name: user.name.slice(0, 60) })
  }
  return [...people.values()].sort((a, b) => a.name.localeCompare(b.name))
}
