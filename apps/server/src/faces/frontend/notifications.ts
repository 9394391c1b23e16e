import { Hono } from 'hono'
import { z } from 'zod'
import { channelLimits, listNotifications, markNotificationsRead } from '../../domains/channels/index.ts'
import { type FrontendEnv, reply, requireSession } from './context.ts'
import { parseForm } from './forms.ts'

const Query = z.object({
  before: z.coerce.number().int().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(channelLimits.historyLimit).default(50),
})
const ReadInput = z.object({ offset: z.coerce.number().int().min(1) })

/** `/v1/me/notifications`: what the application told the person, and how far they have read. */
export function notificationRoutes(): Hono<FrontendEnv> {
  const routes = new Hono<FrontendEnv>()
  routes.get('/me/notifications', async (c) => {
    const { userId } = requireSession(c)
    const found = await listNotifications(c.get('ctx'), { userId, ...Query.parse(c.req.query()) })
    return reply(c, {
      object: 'notifications',
      data: found.data.map(({ offset, name, data, at, isRead }) => {
        return { object: 'notification', offset, name, data, at: at.getTime(), read: isRead }
      }),
      unread_count: found.unreadCount,
      read_offset: found.readOffset,
      epoch: found.epoch,
      offset: found.offset,
    })
  })
  routes.post('/me/notifications/read', async (c) => {
    const { userId } = requireSession(c)
    const { offset } = await parseForm(c, ReadInput)
    const { readOffset, unreadCount } = await markNotificationsRead(c.get('ctx'), { userId, offset })
    return reply(c, { object: 'notifications', unread_count: unreadCount, read_offset: readOffset })
  })
  return routes
}
