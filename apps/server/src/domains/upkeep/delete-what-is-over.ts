import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { deleteOverApiKeys } from '../api-keys/index.ts'
import { deleteOldEntries } from '../audit/index.ts'
import { deleteOldChannelMessages } from '../channels/index.ts'
import { deleteOldEvents } from '../events/index.ts'
import { deleteOwnerlessImages } from '../images/index.ts'
import { deleteOverMachineTokens } from '../machines/index.ts'
import { deleteOldMessages } from '../messaging/index.ts'
import { deleteOverSessions } from '../sessions/index.ts'
import { deleteOverSignIns } from '../signin/index.ts'
import { deleteOverSignUps } from '../signup/index.ts'
import { deleteOverVerifications } from '../verifications/index.ts'
import { deleteOldDeliveries, deleteOverPortalSessions } from '../webhooks/index.ts'

/** Small enough that nobody waits for a lock on what a batch deletes. */
const batchSize = 500

const tasks: ((tx: Tx, limit: number) => Promise<number>)[] = [
  deleteOverVerifications,
  deleteOverSignIns,
  deleteOverSignUps,
  deleteOverSessions,
  deleteOverMachineTokens,
  deleteOverApiKeys,
  deleteOldMessages,
  deleteOwnerlessImages,
  deleteOldEvents,
  deleteOldEntries,
  deleteOldDeliveries,
  deleteOverPortalSessions,
  deleteOldChannelMessages,
]

/**
 * Deletes what is over in an instance, table by table. Each batch is a transaction of its own.
 *
 * @param options.mayGoOn asked before each batch, so that a server that stops need not wait
 * @returns how many rows went
 */
export async function deleteWhatIsOver(
  ctx: Ctx,
  { limit = batchSize, mayGoOn = () => true }: { limit?: number; mayGoOn?: () => boolean } = {},
): Promise<number> {
  let total = 0
  for (const task of tasks) {
    for (let gone = limit; gone >= limit && mayGoOn(); total += gone)
      gone = await transaction(ctx, (tx) => task(tx, limit))
  }
  return total
}
