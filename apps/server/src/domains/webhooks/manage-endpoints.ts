import { and, asc, count, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm'
import { type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { parseUrl } from '../../kernel/egress.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { emit, findHead } from '../events/index.ts'
import { checkEventTypes } from './event-types.ts'
import { isSigningSecret, newSigningSecret, openSecrets, sealSecret } from './secrets.ts'
import { webhookDeliveries, webhookEndpoints, webhookLanes } from './tables.ts'

type Row = typeof webhookEndpoints.$inferSelect
type Lane = typeof webhookLanes.$inferSelect

/** An endpoint without its secrets, and how its deliveries go. */
export type WebhookEndpoint = Omit<Row, 'secrets'> & {
  /** Since when nothing was accepted; null: the last delivery was, or there was none. */
  failingSince: Date | null
  /** Until when it is left alone. */
  pausedUntil: Date | null
  /** Position in the stream up to which everything is settled, or waits for another attempt. */
  cursor: number
}

/** More than an application needs; each is told of every event. */
const maxEndpoints = 100
const maxUrlLength = 2048
/** Hours for which a secret that was replaced still signs, unless said otherwise. */
const defaultOverlapHours = 24
/** Secrets that sign at a time, so that headers stay short. */
const maxSecrets = 3

export type EndpointInput = {
  url: string
  description?: string | undefined
  /** `user.created`, or `user.*` for all of a kind; null or empty: everything. */
  eventTypes?: string[] | null | undefined
}

/**
 * Adds an endpoint. It is told of what happens from now on.
 *
 * @param input.secret of one's own, `whsec_…`; absent: one is made
 * @returns the endpoint, and its secret
 * @throws {UsherError} `form_param_value_invalid`, `egress_refused` or `conflict` when there are too many
 */
export async function createWebhookEndpoint(
  ctx: Ctx | Tx,
  input: EndpointInput & { secret?: string | undefined },
): Promise<{ endpoint: WebhookEndpoint; secret: string }> {
  const url = await checkUrl(ctx, input.url)
  const eventTypes = checkEventTypes(input.eventTypes ?? null)
  const secret = checkSecret(input.secret)
  return transaction(ctx, async (tx) => {
    await takeTurn(tx, 'webhook endpoints')
    const existing = await tx.db.$count(webhookEndpoints)
    if (existing >= maxEndpoints) throw new UsherError('conflict', `There are ${maxEndpoints} endpoints already.`)
    const now = tx.now()
    const id = newId('webhookEndpoint')
    await tx.db.insert(webhookEndpoints).values({
      id,
      instanceId: tx.instance.id,
      url,
      description: input.description ?? '',
      eventTypes,
      secrets: [sealSecret(tx.database.keyring, id, secret)],
      createdAt: now,
      updatedAt: now,
    })
    const cursor = await findHead(tx)
    await tx.db.insert(webhookLanes).values({ endpointId: id, run: 0, instanceId: tx.instance.id, cursor })
    emit(tx, { type: 'webhookEndpoint.created', subject: id, data: { host: new URL(url).host } })
    return { endpoint: await getWebhookEndpoint(tx, id), secret }
  })
}

/**
 * Changes an endpoint. Enabled again, it gets what came in the meantime, as far as events are kept.
 *
 * @throws {UsherError} `resource_not_found`, `form_param_value_invalid` or `egress_refused`
 */
export async function updateWebhookEndpoint(
  ctx: Ctx | Tx,
  input: Partial<EndpointInput> & { id: string; disabled?: boolean | undefined },
): Promise<WebhookEndpoint> {
  const url = input.url === undefined ? undefined : await checkUrl(ctx, input.url)
  const eventTypes = input.eventTypes === undefined ? undefined : checkEventTypes(input.eventTypes)
  return transaction(ctx, async (tx) => {
    const known = await getWebhookEndpoint(tx, input.id)
    const changesState = input.disabled !== undefined && input.disabled !== (known.disabledAt !== null)
    await tx.db
      .update(webhookEndpoints)
      .set({
        ...(url !== undefined && { url }),
        ...(input.description !== undefined && { description: input.description }),
        ...(eventTypes !== undefined && { eventTypes }),
        ...(changesState && {
          disabledAt: input.disabled ? tx.now() : null,
          disabledReason: input.disabled ? ('operator' as const) : null,
        }),
        updatedAt: tx.now(),
      })
      .where(eq(webhookEndpoints.id, input.id))
    // Whoever mends an endpoint wants to see it work now, not after the pause.
    const resumed = url !== undefined || (changesState && !input.disabled)
    if (resumed) await endPause(tx, input.id)
    const changed = await getWebhookEndpoint(tx, input.id)
    emit(tx, { type: 'webhookEndpoint.updated', subject: input.id, data: { host: new URL(changed.url).host, resumed } })
    return changed
  })
}

async function endPause(tx: Tx, id: string): Promise<void> {
  await tx.db
    .update(webhookDeliveries)
    .set({ nextAttemptAt: sql`now()` })
    .where(
      and(
        eq(webhookDeliveries.endpointId, id),
        eq(webhookDeliveries.state, 'waiting'),
        isNotNull(webhookDeliveries.nextAttemptAt),
      ),
    )
  await tx.db
    .update(webhookLanes)
    .set({
      failures: 0,
      pauses: 0,
      failingSince: null,
      pausedUntil: null,
      retryAt: sql`now()`,
      // Whoever is at work on it knows only of the failures: it may not write them down any more.
      leaseOwner: null,
      leasedUntil: null,
    })
    .where(eq(webhookLanes.endpointId, id))
}

/** Deletes an endpoint with its log. @throws {UsherError} `resource_not_found` */
export async function deleteWebhookEndpoint(ctx: Ctx | Tx, id: string): Promise<void> {
  return transaction(ctx, async (tx) => {
    const [gone] = await tx.db
      .delete(webhookEndpoints)
      .where(eq(webhookEndpoints.id, id))
      .returning({ url: webhookEndpoints.url })
    if (!gone) throw notFound()
    emit(tx, { type: 'webhookEndpoint.deleted', subject: id, data: { host: new URL(gone.url).host } })
  })
}

/**
 * Ends deliveries to an endpoint that failed for too long or said that it is gone for good.
 *
 * @returns undefined when it was disabled or deleted already
 */
export async function disableWebhookEndpoint(
  ctx: Ctx | Tx,
  input: { id: string; reason: 'failing' | 'gone' },
): Promise<WebhookEndpoint | undefined> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const [changed] = await tx.db
      .update(webhookEndpoints)
      .set({ disabledAt: now, disabledReason: input.reason, updatedAt: now })
      .where(and(eq(webhookEndpoints.id, input.id), isNull(webhookEndpoints.disabledAt)))
      .returning({ id: webhookEndpoints.id })
    if (!changed) return undefined
    emit(tx, { type: 'webhookEndpoint.disabled', subject: input.id, data: { reason: input.reason } })
    return getWebhookEndpoint(tx, input.id)
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getWebhookEndpoint(ctx: Ctx | Tx, id: string): Promise<WebhookEndpoint> {
  const [found] = await transaction(ctx, (tx) => findWebhookEndpoints(tx, [id]))
  if (!found) throw notFound()
  return found
}

/** Endpoints by their ids, in one query. */
export async function findWebhookEndpoints(tx: Tx, ids: string[]): Promise<WebhookEndpoint[]> {
  if (ids.length === 0) return []
  return (await selectEndpoints(tx).where(inArray(webhookEndpoints.id, ids))).map(present)
}

/** Oldest first. */
export async function listWebhookEndpoints(ctx: Ctx | Tx, page: Pagination): Promise<Page<WebhookEndpoint>> {
  return transaction(ctx, async (tx) => {
    const [total] = await tx.db.select({ n: count() }).from(webhookEndpoints)
    const rows = await selectEndpoints(tx)
      .orderBy(asc(webhookEndpoints.createdAt), webhookEndpoints.id)
      .limit(page.limit)
      .offset(page.offset)
    return { data: rows.map(present), totalCount: total?.n ?? 0 }
  })
}

function selectEndpoints(tx: Tx) {
  return tx.db
    .select({ endpoint: webhookEndpoints, lane: webhookLanes })
    .from(webhookEndpoints)
    .innerJoin(webhookLanes, and(eq(webhookLanes.endpointId, webhookEndpoints.id), eq(webhookLanes.run, 0)))
}

function present({ endpoint: { secrets: _, ...endpoint }, lane }: { endpoint: Row; lane: Lane }): WebhookEndpoint {
  const { failingSince, pausedUntil, cursor } = lane
  return { ...endpoint, failingSince, pausedUntil, cursor }
}

/** The secret that receivers verify with. @throws {UsherError} `resource_not_found` */
export async function getWebhookSecret(ctx: Ctx | Tx, id: string): Promise<string> {
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db.select().from(webhookEndpoints).where(eq(webhookEndpoints.id, id))
    const [secret] = row ? openSecrets(tx.database.keyring, id, row.secrets, tx.now()) : []
    if (!secret) throw notFound()
    return secret
  })
}

/**
 * Gives an endpoint a new secret. The one before signs beside it for a while, so that receivers can change theirs without
 * refusing anything in between.
 *
 * @param input.overlapHours 0 to 720; 0 when the old one is in wrong hands
 * @returns the new secret
 * @throws {UsherError} `resource_not_found` or `form_param_value_invalid`
 */
export async function rotateWebhookSecret(
  ctx: Ctx | Tx,
  input: { id: string; secret?: string | undefined; overlapHours?: number | undefined },
): Promise<string> {
  const secret = checkSecret(input.secret)
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db.select().from(webhookEndpoints).where(eq(webhookEndpoints.id, input.id)).for('update')
    if (!row) throw notFound()
    const now = tx.now()
    const expiresAt = new Date(now.getTime() + (input.overlapHours ?? defaultOverlapHours) * 3_600_000).toISOString()
    const kept = row.secrets
      .map((s) => ({ ...s, expiresAt: s.expiresAt !== null && s.expiresAt < expiresAt ? s.expiresAt : expiresAt }))
      .filter((s) => Date.parse(s.expiresAt) > now.getTime())
    const secrets = [sealSecret(tx.database.keyring, input.id, secret), ...kept].slice(0, maxSecrets)
    await tx.db.update(webhookEndpoints).set({ secrets, updatedAt: now }).where(eq(webhookEndpoints.id, input.id))
    emit(tx, { type: 'webhookEndpoint.updated', subject: input.id, data: { secret_rotated: true } })
    return secret
  })
}

/** Where the server would not deliver to is not taken at all. It is checked again at every delivery. */
async function checkUrl(ctx: Ctx | Tx, value: string): Promise<string> {
  const invalid = (message: string) => new UsherError('form_param_value_invalid', message, { param: 'url' })
  if (value.length > maxUrlLength || !URL.canParse(value)) throw invalid('This is no URL.')
  const url = parseUrl(value)
  if (!/^https?:$/.test(url.protocol)) throw invalid('Webhooks are delivered by HTTP.')
  if (url.username || url.password) throw invalid('A URL must hold no password.')
  url.hash = ''
  try {
    await ctx.egressGuard(url, Date.now() + 3000)
  } catch (error) {
    // A host that cannot be found today may be there tomorrow; one that is inside stays inside.
    if (error instanceof UsherError) throw new UsherError(error.code, error.message, { param: 'url' })
  }
  return url.href
}

function checkSecret(given: string | undefined): string {
  if (given === undefined) return newSigningSecret()
  if (!isSigningSecret(given))
    throw new UsherError('form_param_value_invalid', 'A secret is whsec_ and 24 to 64 bytes in base64.', {
      param: 'secret',
    })
  return given
}

const notFound = () => new UsherError('resource_not_found', 'There is no such endpoint.')
