import 'server-only'
import { initTRPC, TRPCError } from '@trpc/server'
import { subscribeChannel, type UsherContext, usherProcedure } from '@usher/nextjs/realtime'
import { z } from 'zod'
import { publish } from './publish'
import { nameOf, usher } from './usher'

const t = initTRPC.context<UsherContext>().create()
const signedIn = t.procedure.use(usherProcedure())
const reader = t.procedure.use(usherProcedure({ permission: 'org:chat:read' }))
const writer = t.procedure.use(usherProcedure({ permission: 'org:chat:write' }))

/** Where a reader was, as tRPC's client says it by itself after a reconnect. */
const Place = z.object({ lastEventId: z.string().nullish() }).optional()

export type ChatMessage = { text: string; author: { id: string; name: string } }
export type Notification = { text: string; from: { id: string; name: string } }

const chatOf = (organizationId: string) => `org:${organizationId}:chat:general`
const notificationsOf = (userId: string) => `user:${userId}:notifications`

export const router = t.router({
  chat: t.router({
    /** Every message, with what was missed since `lastEventId`. Ends the second that the membership does. */
    messages: reader.input(Place).subscription(({ ctx, input, signal }) =>
      subscribeChannel<ChatMessage>(chatOf(organizationOf(ctx)), {
        lastEventId: input?.lastEventId,
        signal,
        history: 50,
      }),
    ),
    send: writer
      .input(z.object({ text: z.string().trim().min(1).max(2000), key: z.string().max(64) }))
      .mutation(async ({ ctx, input }) => {
        const { userId } = ctx.auth.actor
        const author = { id: userId, name: await nameOf(userId) }
        await publish(chatOf(organizationOf(ctx)), 'message.sent', { text: input.text, author }, input.key)
      }),
  }),
  notifications: t.router({
    /** For a person on all their devices. */
    mine: signedIn.input(Place).subscription(({ ctx, input, signal }) =>
      subscribeChannel<Notification>(notificationsOf(ctx.auth.actor.userId), {
        lastEventId: input?.lastEventId,
        signal,
        history: 10,
      }),
    ),
    wave: writer.input(z.object({ userId: z.string().max(64) })).mutation(async ({ ctx, input }) => {
      // To people of one's own organization, and to nobody else.
      const member = await usher.findMembership(input.userId, organizationOf(ctx))
      if (!member) throw new TRPCError({ code: 'NOT_FOUND', message: 'Nobody here has this id.' })
      const { userId } = ctx.auth.actor
      const from = { id: userId, name: await nameOf(userId) }
      await publish(notificationsOf(input.userId), 'wave', { text: `${from.name} waves at you`, from })
    }),
  }),
})

export type AppRouter = typeof router

function organizationOf({ auth }: UsherContext): string {
  if (!auth.actor.organizationId) throw new TRPCError({ code: 'FORBIDDEN', message: 'Choose an organization first.' })
  return auth.actor.organizationId
}
