import { type NewEvent, type Tx, takeLater, writeTogether } from '../../database/index.ts'
import type { EventBus } from './bus.ts'
import { isStreamed } from './event-types.ts'
import { events } from './tables.ts'

const buses = new WeakMap<object, EventBus>()
/** Rows of one insert: a statement takes 65,535 parameters at most. */
const batch = 1000
/** Anybody can send any header. */
const maxUserAgent = 400

/** Connects a database to this node's bus, so that its own commits are announced without waiting for the next poll. */
export function announceOn(database: object, bus: EventBus): void {
  buses.set(database, bus)
}

/** The bus of this node, for caches that hang on a database. */
export function busOf(database: object): EventBus | undefined {
  return buses.get(database)
}

/** A fact with whom it comes from, of those who share a transaction. */
type Told = NewEvent & { by: Pick<Tx, 'actor' | 'request'> }

/** What transactions under way have to tell, by their connection: a fact that is told twice is told once. */
const pending = new WeakMap<object, Map<string, Told>>()

/**
 * Appends a fact to the outbox, in the transaction that makes it true: no change without its event, no event without
 * its change. It is written right before the commit, together with the transaction's other facts.
 *
 * @param event `type` as in `organizationMembership.updated`, `subject` the id of what changed, `data` without secrets
 */
export function emit(tx: Tx, event: NewEvent): void {
  let facts = pending.get(tx.connection)
  if (!facts) {
    facts = new Map()
    pending.set(tx.connection, facts)
    tx.beforeCommit(() => write(tx))
  }
  facts.set(JSON.stringify([event.type, event.subject, event.data]), { ...event, by: tx })
}

async function write(tx: Tx): Promise<void> {
  const facts = withoutFirstChanges([...(pending.get(tx.connection)?.values() ?? [])])
  pending.delete(tx.connection)
  const instanceId = tx.instance.id
  for (let from = 0; from < facts.length; from += batch) {
    const part = facts.slice(from, from + batch)
    const rows = part.map(({ by, ...fact }) => ({
      instanceId,
      ...fact,
      actor: by.actor,
      context: contextOf(by),
      pending: isStreamed(fact.type),
    }))
    const made = (await writeTogether(tx, [...takeLater(tx), { table: events, rows }], events.id)) as number[]
    tx.afterCommit(() => {
      const bus = buses.get(tx.database)
      for (const [i, id] of made.entries()) {
        const { type, subject, data } = part[i] as Told
        bus?.announce({ type, subject, data, id, instanceId })
      }
    })
  }
}

const contextOf = ({ request }: Pick<Tx, 'request'>) =>
  request
    ? { ip: request.ip, ...(request.userAgent && { user_agent: request.userAgent.slice(0, maxUserAgent) }) }
    : null

/** What was made and completed in one transaction was made: nobody has seen it in between. */
function withoutFirstChanges(facts: Told[]): Told[] {
  const made = new Set(facts.filter((f) => f.type.endsWith('.created')).map((f) => `${f.type} ${f.subject}`))
  if (made.size === 0) return facts
  return facts.filter(
    (f) => !made.has(`${f.type.replace(/\.updated$/, '.created')} ${f.subject}`) || !f.type.endsWith('.updated'),
  )
}
