import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { messages } from './tables.ts'

/**
 * Writes a text message with a code in the transaction that causes it. A development instance keeps it for the inbox.
 *
 * @param input.to E.164, checked by the caller
 * @throws {UsherError} `unavailable` in a production instance
 */
export async function queueTextCode(tx: Tx, input: { to: string; code: string; expiresAt: Date }): Promise<void> {
  if (tx.instance.environment === 'production')
    throw new UsherError('unavailable', 'This server has no provider of text messages.')
  const now = tx.now()
  const { applicationName } = tx.instance.settings
  const text = `${input.code} is your code for ${applicationName}. Do not share it with anybody.`
  await tx.db.insert(messages).values({
    id: newId('message'),
    instanceId: tx.instance.id,
    channel: 'sms',
    template: 'verification_code',
    toAddress: input.to,
    subject: text,
    html: '',
    text,
    state: 'kept',
    nextAttemptAt: now,
    createdAt: now,
    expiresAt: input.expiresAt,
  })
}
