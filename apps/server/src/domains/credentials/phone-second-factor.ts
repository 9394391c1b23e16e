import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import {
  deletePhoneNumber,
  getPhoneNumber,
  type PhoneNumber,
  type PhoneSecondFactorChange,
  setPhoneSecondFactor,
} from '../users/index.ts'
import { notifyFactorChange } from './notify-factor-change.ts'

/**
 * Makes a number a second factor, or no longer one, and tells its owner. See `setPhoneSecondFactor`.
 *
 * @throws {UsherError} `resource_not_found`, or `verification_failed` for a number that is not proven
 */
export async function changePhoneSecondFactor(ctx: Ctx | Tx, change: PhoneSecondFactorChange): Promise<PhoneNumber> {
  return transaction(ctx, async (tx) => {
    const before = await getPhoneNumber(tx, change.id)
    const after = await setPhoneSecondFactor(tx, change)
    if (before.reservedForSecondFactor !== after.reservedForSecondFactor)
      await notifyFactorChange(tx, {
        userId: after.userId,
        factor: 'text_message',
        added: after.reservedForSecondFactor,
      })
    return after
  })
}

/**
 * Removes a number as its owner does, and tells them when it was a second factor. See `deletePhoneNumber`.
 *
 * @throws {UsherError} `resource_not_found` or `identification_deletion_failed`
 */
export async function removePhoneNumber(ctx: Ctx | Tx, id: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    const { userId, reservedForSecondFactor } = await deletePhoneNumber(tx, id)
    if (reservedForSecondFactor) await notifyFactorChange(tx, { userId, factor: 'text_message', added: false })
  })
}
