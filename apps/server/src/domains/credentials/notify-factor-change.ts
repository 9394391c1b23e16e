import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { queueEmail, type TemplateData } from '../messaging/index.ts'
import { findUsers } from '../users/index.ts'

/**
 * Tells somebody by email that a way to prove who they are was added or removed. Whoever has no proven address is not
 * told, and neither is anybody where no email can be sent: what was changed stays changed.
 */
export async function notifyFactorChange(
  tx: Tx,
  { userId, ...change }: { userId: string } & Omit<TemplateData['factor_changed'], 'at'>,
): Promise<void> {
  const [user] = await findUsers(tx, [userId])
  const address = user?.emailAddresses.find((e) => e.id === user.primaryEmailAddressId && e.verifiedAt !== null)
  if (!address) return
  const data = { ...change, at: tx.now().toISOString() }
  try {
    await queueEmail(tx, { template: 'factor_changed', to: address.emailAddress, data })
  } catch (error) {
    if (!(error instanceof UsherError && error.code === 'unavailable')) throw error
    tx.log.warn({ user: userId, ...change }, 'nobody was told of a changed factor: no email can be sent')
  }
}
