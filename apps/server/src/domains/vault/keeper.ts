import type { Ctx } from '../../kernel/ctx.ts'
import type { Log } from '../../kernel/log.ts'
import type { EventBus, UsherEvent } from '../events/index.ts'
import { changesRights } from '../sync/index.ts'
import { deleteDocumentKeys, withdrawKeys } from './withdraw-keys.ts'

const retries = 5
const retryMs = 200
/** Instances that are looked at at the same time. */
const atOnce = 2

/** Ids in one question; above that everybody in the instance is looked at. */
const manyPeople = 1000

/** What is to be looked at in one instance. */
type Due = { people: Set<string> | 'everyone'; documents: Set<string> }

/**
 * Takes keys away as soon as somebody may not read any more: it hears the facts by which sockets are judged anew. Each node
 * does so for itself; whoever comes second finds nothing left to do.
 *
 * What is heard while a look is under way waits for the next one, which takes all of it: however many facts an import or a
 * test brings, there is one look behind the one that runs.
 */
export class VaultKeeper {
  private readonly due = new Map<string, Due>()
  private readonly busy = new Set<string>()
  private readonly ctxOf: (instanceId: string) => Ctx | undefined
  private readonly log: Log

  constructor({ bus, ctxOf, log }: { bus: EventBus; ctxOf: (instanceId: string) => Ctx | undefined; log: Log }) {
    this.ctxOf = ctxOf
    this.log = log
    bus.subscribe((event) => {
      if (this.note(event)) this.work()
    })
  }

  /** @returns whether an event gives something to do */
  private note(event: UsherEvent): boolean {
    const isDeletion = event.type === 'document.deleted'
    const people = isDeletion ? undefined : concernedBy(event)
    if (!isDeletion && !people) return false
    const due = this.due.get(event.instanceId) ?? { people: new Set(), documents: new Set() }
    if (isDeletion) due.documents.add(event.subject)
    if (people === 'everyone') due.people = 'everyone'
    else if (people && due.people !== 'everyone') {
      for (const id of people) due.people.add(id)
      if (due.people.size > manyPeople) due.people = 'everyone'
    }
    this.due.set(event.instanceId, due)
    return true
  }

  private work(): void {
    for (const [instanceId, due] of this.due) {
      if (this.busy.size >= atOnce) return
      if (this.busy.has(instanceId)) continue
      this.due.delete(instanceId)
      this.busy.add(instanceId)
      this.run(instanceId, due).finally(() => {
        this.busy.delete(instanceId)
        this.work()
      })
    }
  }

  /** Never fails: the same is done when somebody next asks for the keys. */
  private async run(instanceId: string, { people, documents }: Due): Promise<void> {
    for (let attempt = 1; attempt <= retries; attempt++) {
      try {
        const ctx = this.ctxOf(instanceId)
        if (!ctx) return
        for (const docId of documents) await deleteDocumentKeys(ctx, docId)
        if (people === 'everyone' || people.size > 0) await withdrawKeys(ctx, people)
        return
      } catch (error) {
        this.log.warn({ err: error }, 'keys of people who lost access could not be withdrawn')
        await new Promise((resolve) => setTimeout(resolve, retryMs))
      }
    }
  }
}

/** Whose keys an event may concern. What happens to a session changes nothing about what its person may read. */
function concernedBy(event: UsherEvent): Set<string> | 'everyone' | undefined {
  if (event.type.startsWith('session.')) return undefined
  const ids = changesRights(event)
  if (!ids || ids === 'everyone') return ids
  const users = new Set([...ids].filter((id) => id.startsWith('user_')))
  // A fact about one member does not concern the others of the organization.
  return users.size > 0 ? users : ids
}
