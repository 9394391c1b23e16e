import type { UsherEvent } from '../../domains/events/index.ts'
import type { SyncEngine } from '../../domains/sync/index.ts'

/**
 * Says on the sockets of an encrypted document that its keys are worth a look: to its writers when one has to be replaced, of
 * whom the first to do so wins (E-9), and to people who were given one that they may be waiting for.
 */
export function tellAboutKeys(engine: SyncEngine, event: UsherEvent): void {
  const { type, instanceId, subject: docId, data } = event
  const isDue = type === 'documentKey.withdrawn'
  const recipients = type === 'documentKey.given' || type === 'documentKey.created' ? data.recipients : undefined
  if (!isDue && !Array.isArray(recipients)) return
  for (const room of engine.findRooms(instanceId, docId))
    for (const connection of room.connections) {
      const { access, principal } = connection
      const isConcerned = isDue ? access === 'write' : (recipients as unknown[]).includes(principal.userId)
      if (room.kind === 'e2ee' && isConcerned) connection.sendText({ t: 'keys', due: isDue })
    }
}
