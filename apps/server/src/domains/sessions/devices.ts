import { and, eq, ne } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { newId } from '../../kernel/ids.ts'
import { knownDevices } from './tables.ts'

/**
 * Whether a person has signed in on a client before. A device is known to one person: whoever copies its cookie to
 * another account, or shares the browser, gains nothing by it.
 *
 * @returns `first` for a person who has no known device at all yet
 */
export async function deviceStanding(
  tx: Tx,
  { userId, clientId }: { userId: string; clientId: string },
): Promise<'known' | 'new' | 'first'> {
  const devices = await tx.db
    .select({ clientId: knownDevices.clientId })
    .from(knownDevices)
    .where(eq(knownDevices.userId, userId))
  if (devices.length === 0) return 'first'
  return devices.some((d) => d.clientId === clientId) ? 'known' : 'new'
}

/** Remembers that a person signed in on a client. */
export async function rememberDevice(
  tx: Tx,
  { userId, clientId }: { userId: string; clientId: string },
): Promise<void> {
  const now = tx.now()
  await tx.db
    .insert(knownDevices)
    .values({ id: newId('device'), instanceId: tx.instance.id, userId, clientId, createdAt: now, lastSeenAt: now })
    .onConflictDoUpdate({ target: [knownDevices.userId, knownDevices.clientId], set: { lastSeenAt: now } })
}

/** Forgets the devices of a person whose password changed: whoever had it may have used it on one of them. */
export async function forgetDevices(
  tx: Tx,
  { userId, exceptClientId }: { userId: string; exceptClientId?: string | undefined },
): Promise<void> {
  await tx.db
    .delete(knownDevices)
    .where(
      and(
        eq(knownDevices.userId, userId),
        exceptClientId === undefined ? undefined : ne(knownDevices.clientId, exceptClientId),
      ),
    )
}
