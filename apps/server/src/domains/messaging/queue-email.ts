import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { hasMailServer, wakeSender } from './sender.ts'
import { messages } from './tables.ts'
import { renderEmail, type TemplateData, type TemplateName } from './templates.ts'

export type QueueEmailInput<T extends TemplateName> = {
  template: T
  /** One address, checked by the caller. */
  to: string
  data: TemplateData[T]
}

/**
 * Writes an email in the transaction that causes it; it leaves after the commit. No email without its cause, and no
 * transaction held open for a mail server. Without a mail server a development instance keeps it for the inbox.
 *
 * @throws {UsherError} `unavailable` in a production instance without a mail server
 */
export async function queueEmail<T extends TemplateName>(
  tx: Tx,
  { template, to, data }: QueueEmailInput<T>,
): Promise<void> {
  const deliverable = hasMailServer(tx.database)
  if (!deliverable && tx.instance.environment === 'production')
    throw new UsherError('unavailable', 'This server has no mail server, so no email can be sent. Set SMTP_URL.')
  const now = tx.now()
  await tx.db.insert(messages).values({
    id: newId('message'),
    instanceId: tx.instance.id,
    template,
    toAddress: to,
    ...renderEmail(template, data, { applicationName: tx.instance.settings.applicationName }),
    state: deliverable ? 'queued' : 'kept',
    nextAttemptAt: now,
    createdAt: now,
  })
  if (deliverable) tx.afterCommit(() => wakeSender(tx.database))
}
