import type { NewEvent, Tx } from '../../database/index.ts'
import type { EventBus } from './bus.ts'
import { events } from './tables.ts'

const buses = new WeakMap<object, EventBus>()

/** Connects a database to this node's bus, so that its own commits are announced without waiting for the next poll. */
export function announceOn(database: object, bus: EventBus): void {
  buses.set(database, bus)
}

/** The bus of this node, for caches that hang on a database. */
export function busOf(database: object): EventBus | undefined {
  return buses.get(database)
}

/**
 * Appends a fact to the outbox, in the transaction that makes it true: no change without its event, no event without
 * its change.
 *
 * @param event `type` as in `organizationMembership.updated`, `subject` the id of what changed, `data` without secrets
 */
export async function emit(tx: Tx, event: NewEvent): Promise<void> {
  const row = {
    instanceId: tx.instance.id,
    ...event,
    actor: tx.actor,
  }
  const [made] = await tx.db.insert(events).values(row).returning({ id: events.id })
  if (!made) return
  tx.afterCommit(() => buses.get(tx.database)?.deliver({ ...event, id: made.id, instanceId: tx.instance.id }))
}
