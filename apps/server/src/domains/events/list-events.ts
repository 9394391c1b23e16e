import { and, asc, desc, eq, gt, gte, inArray, isNotNull, like, lt, or, type SQL } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { eventStreams, events } from './tables.ts'

/** An event that has its place in the stream. */
export type StreamEvent = typeof events.$inferSelect & { position: number }

export type ListEventsInput = {
  /** The position after which to begin; absent or 0: at the oldest that is kept. */
  after?: number | undefined
  /** Positions below this one only. */
  before?: number | undefined
  /** `user.created`, or `user.*` for all of a kind. Absent: every type. */
  types?: readonly string[] | undefined
  /** Id of what changed. */
  subject?: string | undefined
  since?: Date | undefined
  newestFirst?: boolean | undefined
  limit: number
}

/** A part of the stream, with the position that the stream had reached when it was read. */
export async function listEvents(
  ctx: Ctx | Tx,
  input: ListEventsInput,
): Promise<{ data: StreamEvent[]; hasMore: boolean; head: number }> {
  return transaction(ctx, async (tx) => {
    // The head first: what comes to the stream in between is above it.
    const head = await findHead(tx)
    const where = and(
      eq(events.instanceId, tx.instance.id),
      isNotNull(events.position),
      gt(events.position, input.after ?? 0),
      input.before === undefined ? undefined : lt(events.position, input.before),
      input.subject === undefined ? undefined : eq(events.subject, input.subject),
      input.since === undefined ? undefined : gte(events.createdAt, input.since),
      ofTypes(input.types),
    )
    const rows = await tx.db
      .select()
      .from(events)
      .where(where)
      .orderBy(input.newestFirst ? desc(events.position) : asc(events.position))
      .limit(input.limit + 1)
    return { data: rows.slice(0, input.limit) as StreamEvent[], hasMore: rows.length > input.limit, head }
  })
}

/** The last position of the instance's stream. */
export async function findHead(tx: Tx): Promise<number> {
  const [stream] = await tx.db
    .select({ head: eventStreams.head })
    .from(eventStreams)
    .where(eq(eventStreams.instanceId, tx.instance.id))
  return stream?.head ?? 0
}

/** Events by their positions. */
export async function findEvents(tx: Tx, positions: number[]): Promise<StreamEvent[]> {
  if (positions.length === 0) return []
  const rows = await tx.db
    .select()
    .from(events)
    .where(and(eq(events.instanceId, tx.instance.id), inArray(events.position, positions)))
    .orderBy(asc(events.position))
  return rows as StreamEvent[]
}

function ofTypes(types: readonly string[] | undefined): SQL | undefined {
  if (!types) return undefined
  const whole = types.filter((t) => !t.endsWith('.*'))
  // A type has letters and dots only, so nothing in a prefix has to be escaped.
  const kinds = types.filter((t) => t.endsWith('.*')).map((t) => like(events.type, `${t.slice(0, -1)}%`))
  return or(whole.length > 0 ? inArray(events.type, whole) : undefined, ...kinds)
}
