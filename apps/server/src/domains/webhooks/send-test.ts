import { eq } from 'drizzle-orm'
import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { listEvents } from '../events/index.ts'
import type { Delivery } from './deliveries.ts'
import { isWebhookEvent } from './event-types.ts'
import type { Post } from './post.ts'
import { openSecrets, signatureHeaders } from './secrets.ts'
import { envelope, type PresentEvents } from './stream-reader.ts'
import { webhookDeliveries, webhookEndpoints } from './tables.ts'

/**
 * Delivers one event to an endpoint to see whether it takes it: the newest of its type, else a made-up one with nothing
 * but an id. It goes under an id of its own, once, also to an endpoint that is disabled.
 *
 * @returns what came of it, as it stands in the log
 * @throws {UsherError} `resource_not_found` or `form_param_value_invalid`
 */
export async function sendTestWebhook(
  ctx: Ctx,
  input: { id: string; type: string },
  { post, present }: { post: Post; present: PresentEvents },
): Promise<Delivery> {
  if (!isWebhookEvent(input.type))
    throw new UsherError('form_param_value_invalid', 'There is no such type of event.', { param: 'event_type' })
  const found = await transaction(ctx, async (tx) => {
    const [row] = await tx.db.select().from(webhookEndpoints).where(eq(webhookEndpoints.id, input.id))
    if (!row) throw new UsherError('resource_not_found', 'There is no such endpoint.')
    const { data } = await listEvents(tx, { types: [input.type], newestFirst: true, limit: 1 })
    return { row, event: data[0] }
  })
  const { row } = found
  const now = ctx.now()
  const event = found.event ?? {
    id: 0,
    position: 0,
    instanceId: ctx.instance.id,
    type: input.type,
    subject: 'test',
    actor: {},
    data: {},
    context: null,
    createdAt: now,
    pending: false,
  }
  const [data] = found.event ? await present(ctx, [found.event]) : []
  const messageId = `evt_test_${randomBase62(20)}`
  const body = JSON.stringify({ ...envelope(event, data ?? { id: event.subject }), test: true })
  const secrets = openSecrets(ctx.database.keyring, row.id, row.secrets, now)
  const headers = signatureHeaders(secrets, { id: messageId, timestamp: Math.floor(Date.now() / 1000), body })
  // Outside of any transaction: a slow receiver holds no connection to the database.
  const answer = await post(row.url, headers, body)
  return transaction(ctx, async (tx) => {
    const [logged] = await tx.db
      .insert(webhookDeliveries)
      .values({
        instanceId: ctx.instance.id,
        endpointId: row.id,
        position: null,
        messageId,
        type: input.type,
        state: answer.error === null ? 'delivered' : 'failed',
        attempts: 1,
        responseStatus: answer.status,
        error: answer.error,
        durationMs: answer.durationMs,
        attemptedAt: now,
      })
      .returning()
    return logged as Delivery
  })
}
