import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { queueEmailIfPossible } from '../messaging/index.ts'
import { disableWebhookEndpoint } from './manage-endpoints.ts'

/**
 * Disables an endpoint that is of no use any more, and says so: in the log, as an event, and by email to whoever the
 * instance names for such notices.
 */
export async function giveUp(ctx: Ctx, input: { id: string; reason: 'failing' | 'gone' }): Promise<void> {
  await transaction(ctx, async (tx) => {
    const endpoint = await disableWebhookEndpoint(tx, input)
    if (!endpoint) return
    const { origin } = new URL(endpoint.url)
    tx.log.warn({ endpoint: endpoint.id, origin, reason: input.reason }, 'a webhook endpoint was disabled')
    const { webhooks, supportEmail } = tx.instance.settings
    const to = webhooks.noticeEmail ?? supportEmail
    if (to)
      await queueEmailIfPossible(tx, {
        template: 'webhook_endpoint_disabled',
        to,
        data: { url: endpoint.url },
        locale: tx.instance.settings.messages.locale,
      })
  })
}
