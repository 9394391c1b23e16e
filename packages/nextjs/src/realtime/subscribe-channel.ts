import { tracked } from '@trpc/server'
import { once } from './process-state.ts'
import { RealtimeSocket } from './realtime-socket.ts'
import { defaultServer, type UsherServer } from './usher-server.ts'

/** A message of a channel. `from.user` is null where the application's server said it. */
export type ChannelEvent<T> = { name: string; data: T; from: { user: string | null }; at: number }

type Options = {
  /** Where the reader was, as tRPC's client says it: goes on behind it, without gaps and without repeating. */
  lastEventId?: string | null | undefined
  /** Without a `lastEventId`: so many messages of the past come first, at most 100. */
  history?: number
  signal?: AbortSignal | undefined
  server?: UsherServer
}

/**
 * A channel as an async generator of tRPC's tracked events, for subscriptions: what was missed since `lastEventId`, then
 * what is said from now on. It listens as the application's server, so whoever may call it may read the channel: put
 * `usherProcedure` before it. All readers of a process share one socket.
 *
 * Ends with an error when a reader is more than 1,000 messages behind; the client then comes back to where it was.
 */
export async function* subscribeChannel<T = unknown>(channel: string, options: Options = {}) {
  const { signal, server = defaultServer() } = options
  const socket = once(`realtime ${server.apiUrl}`, () => new RealtimeSocket(server))
  for await (const { id, ...event } of socket.read<T>(channel, {
    after: options.lastEventId ?? undefined,
    history: Math.min(options.history ?? 0, 100),
    signal,
  }))
    yield tracked(id, event satisfies ChannelEvent<T>)
}
