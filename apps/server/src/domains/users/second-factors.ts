import { eq, sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { emit } from '../events/index.ts'
import { users } from './tables.ts'

/**
 * Brings what follows from somebody's second factors up to date, after one was added or removed: when they were last
 * switched on and off, and the backup codes, which go with the last factor that they stand in for.
 *
 * After a removal no session counts as having shown a second factor any more: what was proven with a factor that is
 * gone proves nothing (its owner may have removed it because it was stolen).
 */
export async function noteSecondFactors(tx: Tx, userId: string, change: 'added' | 'removed'): Promise<void> {
  const now = tx.now()
  const [user] = await tx.db
    .select({ enabledAt: users.mfaEnabledAt, disabledAt: users.mfaDisabledAt, enabled: hasSecondFactor })
    .from(users)
    .where(eq(users.id, userId))
    .for('update')
  if (!user) return
  const wasEnabled = user.enabledAt !== null && user.disabledAt === null
  if (user.enabled && !wasEnabled)
    await tx.db
      .update(users)
      .set({ mfaEnabledAt: now, mfaDisabledAt: null, updatedAt: now })
      .where(eq(users.id, userId))
  if (!user.enabled) {
    if (wasEnabled) await tx.db.update(users).set({ mfaDisabledAt: now, updatedAt: now }).where(eq(users.id, userId))
    await tx.db.execute(sql`delete from backup_codes where user_id = ${userId}`)
  }
  // Sessions and backup codes belong to domains that build on this one, and numbers and authenticators to two: here is
  // the one place that both can call, and in the same transaction.
  if (change === 'removed')
    await tx.db.execute(sql`update sessions set second_factor_at = null
      where user_id = ${userId} and second_factor_at is not null`)
  emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })
}

const hasSecondFactor = sql<boolean>`(
  exists (select 1 from totps t where t.user_id = users.id and t.verified_at is not null)
  or exists (select 1 from phone_numbers n where n.user_id = users.id and n.verified_at is not null
    and n.reserved_for_second_factor))`
