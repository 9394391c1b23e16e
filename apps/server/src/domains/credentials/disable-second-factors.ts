import { eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { getUser, noteSecondFactors, setPhoneSecondFactor } from '../users/index.ts'
import { removeBackupCodes } from './backup-codes.ts'
import { totps } from './tables.ts'

/**
 * Takes every second factor from somebody who has lost theirs. Their numbers stay, as numbers.
 *
 * @throws {UsherError} `resource_not_found`
 */
export async function disableSecondFactors(ctx: Ctx | Tx, input: { userId: string }): Promise<void> {
  await transaction(ctx, async (tx) => {
    // In the order in which a sign-in takes these rows.
    await tx.db.delete(totps).where(eq(totps.userId, input.userId))
    const { phoneNumbers } = await getUser(tx, input.userId)
    for (const { id } of phoneNumbers.filter((n) => n.reservedForSecondFactor))
      await setPhoneSecondFactor(tx, { id, reservedForSecondFactor: false })
    await removeBackupCodes(tx, input)
    await noteSecondFactors(tx, input.userId, 'removed')
  })
}
