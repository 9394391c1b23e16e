import { and, desc, eq, gt, lt, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { channelsOf } from './hub-of.ts'
import { notificationsChannel } from './names.ts'
import { channelMessages, channelReadMarkers, channels } from './tables.ts'

export type Notification = { offset: number; name: string; data: unknown; at: Date; isRead: boolean }
export type Notifications = {
  /** Newest first. */
  data: Notification[]
  /** Up to where they are read. */
  readOffset: number
  unreadCount: number
  epoch: string
  /** Of the newest one. */
  offset: number
}

/**
 * The messages of a person's own channel, for all their devices: those that are sent there while a socket is open, and
 * those that nobody was there for.
 */
export async function listNotifications(
  ctx: Ctx,
  { userId, before, limit }: { userId: string; before?: number | undefined; limit: number },
): Promise<Notifications> {
  return transaction(ctx, async (tx) => {
    const channel = await findOwn(tx, userId)
    if (!channel) return { data: [], readOffset: 0, unreadCount: 0, epoch: '', offset: 0 }
    const { id, epoch, head: offset } = channel
    const readOffset = await findMarker(tx, id, userId)
    const ofChannel = eq(channelMessages.channelId, id)
    const rows = await tx.db
      .select()
      .from(channelMessages)
      .where(and(ofChannel, before === undefined ? undefined : lt(channelMessages.seq, before)))
      .orderBy(desc(channelMessages.seq))
      .limit(limit)
    const unreadCount = await tx.db.$count(channelMessages, and(ofChannel, gt(channelMessages.seq, readOffset)))
    const data = rows.map(({ seq, name, payload, at }) => {
      return { offset: seq, name, data: JSON.parse(payload) as unknown, at, isRead: seq <= readOffset }
    })
    return { data, readOffset, unreadCount, epoch: channelsOf(ctx.database).epochOf(epoch), offset }
  })
}

/**
 * Notes that somebody has read everything up to an offset, and tells their other devices. A marker never goes back.
 *
 * @throws {UsherError} `resource_not_found` when there is no such notification
 */
export async function markNotificationsRead(
  ctx: Ctx,
  { userId, offset }: { userId: string; offset: number },
): Promise<{ readOffset: number; unreadCount: number }> {
  const marked = await transaction(ctx, async (tx) => {
    const channel = await findOwn(tx, userId)
    if (!channel || offset > channel.head)
      throw new UsherError('resource_not_found', 'There is no such notification.', { param: 'offset' })
    const [row] = await tx.db
      .insert(channelReadMarkers)
      .values({ channelId: channel.id, userId, instanceId: tx.instance.id, seq: offset, at: tx.now() })
      .onConflictDoUpdate({
        target: [channelReadMarkers.channelId, channelReadMarkers.userId],
        set: { seq: sql`greatest(${channelReadMarkers.seq}, excluded.seq)`, at: sql`excluded.at` },
      })
      .returning({ seq: channelReadMarkers.seq })
    const readOffset = row?.seq ?? offset
    const newer = and(eq(channelMessages.channelId, channel.id), gt(channelMessages.seq, readOffset))
    return { readOffset, unreadCount: await tx.db.$count(channelMessages, newer) }
  })
  channelsOf(ctx.database).hint(ctx.instance.id, notificationsChannel(userId), {
    t: 'read',
    offset: marked.readOffset,
  })
  return marked
}

async function findOwn(tx: Tx, userId: string) {
  const [channel] = await tx.db
    .select()
    .from(channels)
    .where(and(eq(channels.instanceId, tx.instance.id), eq(channels.name, notificationsChannel(userId))))
  return channel
}

async function findMarker(tx: Tx, channelId: number, userId: string): Promise<number> {
  const [marker] = await tx.db
    .select({ seq: channelReadMarkers.seq })
    .from(channelReadMarkers)
    .where(and(eq(channelReadMarkers.channelId, channelId), eq(channelReadMarkers.userId, userId)))
  return marker?.seq ?? 0
}
