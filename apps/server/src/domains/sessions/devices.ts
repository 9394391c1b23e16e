import { and, eq, ne, sql } from 'drizzle-orm'
import { prepared, type Tx, writeLater } from '../../database/index.ts'
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
  const [found] = await findStanding(tx, { userId, clientId })
  if (found?.known) return 'known'
  return found?.any ? 'new' : 'first'
}

const ofUser = eq(knownDevices.userId, sql.placeholder('userId'))
const findStanding = prepared((db) =>
  db
    .select({
      known: sql<boolean>`exists (select from ${knownDevices} where ${and(ofUser, eq(knownDevices.clientId, sql.placeholder('clientId')))})`,
      any: sql<boolean>`exists (select from ${knownDevices} where ${ofUser})`,
    })
    .from(sql`(select) as one`),
)

/** Remembers that a person signed in on a client. */
export async function rememberDevice(
  tx: Tx,
  { userId, clientId }: { userId: string; clientId: string },
): Promise<void> {
  await insertDevice(tx, { id: newId('device'), instanceId: tx.instance.id, userId, clientId, now: tx.now() })
}

/** As {@link rememberDevice}, on a client that the transaction makes: both are written together. */
export function rememberFirstDevice(tx: Tx, { userId, clientId }: { userId: string; clientId: string }): void {
  const now = tx.now()
  const row = { id: newId('device'), instanceId: tx.instance.id, userId, clientId, createdAt: now, lastSeenAt: now }
  writeLater(tx, knownDevices, row)
}

const insertDevice = prepared((db) =>
  db
    .insert(knownDevices)
    .values({
      id: sql.placeholder('id'),
      instanceId: sql.placeholder('instanceId'),
      userId: sql.placeholder('userId'),
      clientId: sql.placeholder('clientId'),
      createdAt: sql.placeholder('now'),
      lastSeenAt: sql.placeholder('now'),
    })
    .onConflictDoUpdate({
      target: [knownDevices.userId, knownDevices.clientId],
      set: { lastSeenAt: sql`excluded.last_seen_at` },
    }),
)

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
