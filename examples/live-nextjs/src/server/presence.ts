import 'server-only'
import type { Authenticated } from '@usher/nextjs/realtime'
import type { WebSocket } from 'ws'
import { nameOf } from './usher'

export type Person = { id: string; name: string; typing: boolean }

type Seat = { client: WebSocket; person: Person }

/** One process keeps this in its memory. An application of several asks Usher's channels, which know presence too. */
const rooms = new Map<string, Set<Seat>>()
/** A frame says one thing of a few bytes; whoever sends much more is not our page. */
const longestFrame = 256

/** Takes a seat in the organization's room until the socket goes, by itself or because the membership ended. */
export async function enterRoom(client: WebSocket, { actor }: Authenticated): Promise<void> {
  const { userId, organizationId } = actor
  if (!organizationId) return client.close(4403, 'Choose an organization first.')
  const seat: Seat = { client, person: { id: userId, name: '', typing: false } }

  client.on('message', (data: Buffer) => {
    if (data.length > longestFrame) return client.close(4413, 'Too much.')
    const typing = data.toString() === '{"typing":true}'
    if (typing === seat.person.typing) return
    seat.person.typing = typing
    tell(organizationId)
  })
  client.once('close', () => {
    rooms.get(organizationId)?.delete(seat)
    if (rooms.get(organizationId)?.size === 0) rooms.delete(organizationId)
    tell(organizationId)
  })

  seat.person.name = await nameOf(userId)
  if (client.readyState !== client.OPEN) return
  const room = rooms.get(organizationId) ?? new Set()
  rooms.set(organizationId, room.add(seat))
  tell(organizationId)
}

/** Everybody gets the whole list, each person once however many devices they have. */
function tell(organizationId: string): void {
  const seats = [...(rooms.get(organizationId) ?? [])]
  const people = new Map<string, Person>()
  for (const { person } of seats)
    people.set(person.id, { ...person, typing: person.typing || people.get(person.id)?.typing === true })
  const list = JSON.stringify({ people: [...people.values()] })
  for (const { client } of seats) if (client.readyState === client.OPEN) client.send(list)
}
