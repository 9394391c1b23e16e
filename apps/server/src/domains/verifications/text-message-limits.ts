import { and, eq, lt, sql } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { countAttempt } from '../../kernel/rate-limit.ts'
import { textMessageCounts } from './tables.ts'

/** Texts that one number is sent, whoever asks for them. */
const numberLimits = [
  { name: 'sms', max: 5, windowMs: 10 * 60_000 },
  { name: 'sms_day', max: 20, windowMs: 24 * 3600_000 },
]
/** Texts in an hour to numbers that differ in their last four digits only: ranges are rented as a whole to be pumped. */
const maxPerRange = 30
const hourMs = 3600_000
const dayMs = 24 * hourMs

/**
 * Counts one text message before it is queued. The counts are rows with a conditional update, so that parallel
 * requests and several nodes together send no more than the limits say.
 *
 * @param phoneNumber E.164
 * @throws {UsherError} `too_many_requests`
 */
export async function countTextMessage(tx: Tx, phoneNumber: string): Promise<void> {
  for (const { name, ...limit } of numberLimits)
    countAttempt(tx.database, `${tx.instance.id}:${name}:${phoneNumber}`, limit, tx.now())
  // The narrow count first in every transaction: two that wait for each other's rows would be a deadlock.
  await count(tx, { scope: `range:${phoneNumber.slice(0, -4)}`, windowMs: hourMs, max: maxPerRange })
  const { dailyLimit } = tx.instance.settings.phoneNumber
  const sent = await count(tx, { scope: 'all', windowMs: dayMs, max: dailyLimit })
  if (sent === 1) await forgetOldCounts(tx)
  if (sent === dailyLimit)
    tx.log.error(
      { instance: tx.instance.id, dailyLimit },
      'the last text message of the day was sent: the limit is reached',
    )
}

async function count(tx: Tx, input: { scope: string; windowMs: number; max: number }): Promise<number> {
  const time = tx.now().getTime()
  const windowStart = new Date(time - (time % input.windowMs))
  const [counted] =
    input.max < 1
      ? []
      : await tx.db
          .insert(textMessageCounts)
          .values({ instanceId: tx.instance.id, scope: input.scope, windowStart, sent: 1 })
          .onConflictDoUpdate({
            target: [textMessageCounts.instanceId, textMessageCounts.scope, textMessageCounts.windowStart],
            set: { sent: sql`${textMessageCounts.sent} + 1` },
            setWhere: lt(textMessageCounts.sent, input.max),
          })
          .returning({ sent: textMessageCounts.sent })
  if (counted) return counted.sent
  tx.log.warn({ instance: tx.instance.id, scope: input.scope }, 'a text message was refused: too many were sent')
  throw new UsherError('too_many_requests', 'No text message can be sent at the moment. Please try again later.', {
    retryAfterSeconds: Math.ceil((windowStart.getTime() + input.windowMs - time) / 1000),
  })
}

async function forgetOldCounts(tx: Tx): Promise<void> {
  await tx.db
    .delete(textMessageCounts)
    .where(
      and(
        eq(textMessageCounts.instanceId, tx.instance.id),
        lt(textMessageCounts.windowStart, new Date(tx.now().getTime() - 2 * dayMs)),
      ),
    )
}
