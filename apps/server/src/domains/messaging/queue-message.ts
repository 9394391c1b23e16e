import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { hasMailServer, wakeSender } from './sender.ts'
import { messages } from './tables.ts'
import { renderEmail, renderText, type TemplateData, type TemplateName, type TextTemplateName } from './templates.ts'

type Queued<T extends TemplateName> = {
  template: T
  data: TemplateData[T]
  /** When what it carries (a code, a link) is worthless. It never leaves after that. */
  expiresAt?: Date
}
/** @property to one address, checked by the caller */
export type QueueEmailInput<T extends TemplateName> = Queued<T> & { to: string }
/** @property to a number in E.164, checked by the caller */
export type QueueTextInput<T extends TextTemplateName> = Queued<T> & { to: string }

/**
 * Writes an email in the transaction that causes it; it leaves after the commit. No email without its cause, and no
 * transaction held open for a mail server. Without a mail server a development instance keeps it for the inbox.
 *
 * @throws {UsherError} `unavailable` in a production instance without a mail server
 */
export function queueEmail<T extends TemplateName>(tx: Tx, input: QueueEmailInput<T>): Promise<void> {
  return queueMessage(tx, { channel: 'email', ...input })
}

/**
 * Writes an email or a text message, see {@link queueEmail}.
 *
 * @throws {UsherError} `unavailable` in a production instance that has no provider for the channel
 */
export async function queueMessage<T extends TemplateName, U extends TextTemplateName>(
  tx: Tx,
  input: ({ channel: 'email' } & QueueEmailInput<T>) | ({ channel: 'sms' } & QueueTextInput<U>),
): Promise<void> {
  const { channel, template, to, expiresAt } = input
  const deliverable = channel === 'email' && hasMailServer(tx.database)
  if (!deliverable && tx.instance.environment === 'production')
    throw new UsherError('unavailable', `This server has no way to send ${channel === 'email' ? 'emails' : 'texts'}.`)
  const now = tx.now()
  const { applicationName } = tx.instance.settings
  const content =
    input.channel === 'email'
      ? renderEmail(input.template, input.data, { applicationName })
      : renderText(input.template, input.data, { applicationName })
  await tx.db.insert(messages).values({
    id: newId('message'),
    instanceId: tx.instance.id,
    channel,
    template,
    toAddress: to,
    ...content,
    state: deliverable ? 'queued' : 'kept',
    nextAttemptAt: now,
    createdAt: now,
    expiresAt: expiresAt ?? null,
  })
  if (deliverable) tx.afterCommit(() => wakeSender(tx.database))
}
