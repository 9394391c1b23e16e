import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { UserRecord } from '../users/index.ts'
import type { TemplateData, TemplateName } from './catalog.ts'
import { type QueueEmailInput, queueEmail } from './queue-message.ts'

/** Queues an email that nothing depends on: where no email can be sent, what it tells of happens all the same. */
export async function queueEmailIfPossible<T extends TemplateName>(tx: Tx, input: QueueEmailInput<T>): Promise<void> {
  try {
    await queueEmail(tx, input)
  } catch (error) {
    if (!(error instanceof UsherError && error.code === 'unavailable')) throw error
    tx.log.warn({ template: input.template }, 'nobody was told: no email can be sent')
  }
}

/**
 * Tells somebody by email what happened to their account, at their primary address if they have proven one.
 *
 * @param message.also further addresses: one that was just replaced or removed hears of it too, because whoever took an
 *   account over changes its address first
 */
export async function warnUser<T extends TemplateName>(
  tx: Tx,
  user: Pick<UserRecord, 'emailAddresses' | 'primaryEmailAddressId' | 'locale'>,
  { also = [], ...message }: { template: T; data: TemplateData[T]; also?: string[] },
): Promise<void> {
  const primary = user.emailAddresses.find((e) => e.id === user.primaryEmailAddressId && e.verifiedAt !== null)
  const addresses = new Set([...(primary ? [primary.emailAddress] : []), ...also])
  for (const to of addresses) await queueEmailIfPossible(tx, { ...message, to, locale: user.locale })
}
