import type { Tx } from '../../database/index.ts'
import { warnUser } from '../messaging/index.ts'
import { findUsers } from '../users/index.ts'

export type FactorChange = { added: boolean } & (
  | { factor: 'authenticator' | 'text_message' }
  | { factor: 'passkey'; passkeyName: string }
)

/**
 * Tells somebody by email that a way to prove who they are was added or removed. Whoever has no proven address is not
 * told, and neither is anybody where no email can be sent: what was changed stays changed.
 */
export async function notifyFactorChange(
  tx: Tx,
  { userId, ...change }: { userId: string } & FactorChange,
): Promise<void> {
  const [user] = await findUsers(tx, [userId])
  if (user) await warnUser(tx, user, messageFor(change))
}

function messageFor(change: FactorChange) {
  if (change.factor === 'passkey') {
    const { added, passkeyName } = change
    return { template: added ? 'passkey_added' : 'passkey_removed', data: { passkeyName } } as const
  }
  const method = change.factor === 'authenticator' ? 'totp' : 'phone_code'
  return { template: change.added ? 'mfa_enabled' : 'mfa_disabled', data: { method } } as const
}
