import type { Ctx } from '../../kernel/ctx.ts'
import type { Log } from '../../kernel/log.ts'
import type { EventBus, UsherEvent } from '../events/index.ts'
import { changesRights } from '../sync/index.ts'
import { deleteDocumentKeys, withdrawKeys } from './document-keys.ts'

const retries = 5
const retryMs = 200

/**
 * Takes keys away as soon as somebody may not read any more: it hears the facts by which sockets are judged anew. Each node
 * does so for itself; whoever comes second finds nothing left to do.
 */
export class VaultKeeper {
  private queue: Promise<void> = Promise.resolve()
  private readonly ctxOf: (instanceId: string) => Ctx | undefined
  private readonly log: Log

  constructor({ bus, ctxOf, log }: { bus: EventBus; ctxOf: (instanceId: string) => Ctx | undefined; log: Log }) {
    this.ctxOf = ctxOf
    this.log = log
    bus.subscribe((event) => {
      const work = workFor(event)
      if (work) this.queue = this.queue.then(() => this.run(event.instanceId, work))
    })
  }

  /** Never fails: the same is done when somebody next asks for the keys. */
  private async run(instanceId: string, work: (ctx: Ctx) => Promise<void>): Promise<void> {
    for (let attempt = 1; attempt <= retries; attempt++) {
      try {
        const ctx = this.ctxOf(instanceId)
        if (ctx) await work(ctx)
        return
      } catch (error) {
        this.log.warn({ err: error }, 'keys of people who lost access could not be withdrawn')
        await new Promise((resolve) => setTimeout(resolve, retryMs))
      }
    }
  }
}

function workFor(event: UsherEvent): ((ctx: Ctx) => Promise<void>) | undefined {
  if (event.type === 'document.deleted') return (ctx) => deleteDocumentKeys(ctx, event.subject)
  const people = concernedBy(event)
  return people && ((ctx) => withdrawKeys(ctx, people))
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
