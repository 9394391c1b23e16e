import { UsherError } from '../../kernel/errors.ts'
import type { ChannelHub } from './hub.ts'

const hubs = new WeakMap<object, ChannelHub>()

/** Connects a database to this node's channels, so that verbs can speak in them. */
export function useChannels(database: object, hub: ChannelHub): void {
  hubs.set(database, hub)
}

/** The channels of this node. @throws {UsherError} `unavailable` in a process that serves none */
export function channelsOf(database: object): ChannelHub {
  const hub = hubs.get(database)
  if (!hub) throw new UsherError('unavailable', 'Channels are not served by this process.')
  return hub
}
