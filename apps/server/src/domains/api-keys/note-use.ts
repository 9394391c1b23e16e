import { and, inArray, isNull, lt, or } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import type { ApiKey } from './queries.ts'
import { apiKeys } from './tables.ts'

/** How exactly it is known when a key was last used. */
const gapMs = 60_000
/** How long uses are gathered, so that many keys are written at once and no verification waits. */
const gatherMs = 1000

const waiting = new WeakMap<object, Map<string, { ctx: Ctx; ids: Set<string> }>>()

/** Remembers that a key was used: later, for many at once, and once a minute. What a node knew when it died is lost. */
export function noteUse(ctx: Ctx, key: Pick<ApiKey, 'id' | 'lastUsedAt'>): void {
  if (key.lastUsedAt !== null && ctx.now().getTime() - key.lastUsedAt.getTime() < gapMs) return
  const { database, instance } = ctx
  const instances = waiting.get(database) ?? new Map<string, { ctx: Ctx; ids: Set<string> }>()
  waiting.set(database, instances)
  const known = instances.get(instance.id)
  if (known) {
    known.ids.add(key.id)
    return
  }
  const ids = new Set([key.id])
  instances.set(instance.id, { ctx, ids })
  setTimeout(() => {
    instances.delete(instance.id)
    write(ctx, [...ids]).catch((error) => ctx.log.warn({ err: error }, 'the last use of API keys was not noted'))
  }, gatherMs).unref()
}

function write(ctx: Ctx, ids: string[]): Promise<unknown> {
  const now = ctx.now()
  const isOld = or(isNull(apiKeys.lastUsedAt), lt(apiKeys.lastUsedAt, new Date(now.getTime() - gapMs)))
  return transaction(ctx, (tx) => {
    // What another node writes at this moment it writes for us; to wait for each other could be for ever.
    const due = tx.db
      .select({ id: apiKeys.id })
      .from(apiKeys)
      .where(and(inArray(apiKeys.id, ids), isOld))
      .for('update', { skipLocked: true })
    return tx.db.update(apiKeys).set({ lastUsedAt: now }).where(inArray(apiKeys.id, due))
  })
}
