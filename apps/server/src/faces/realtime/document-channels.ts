import {
  type ChannelFrame,
  type ChannelHub,
  ChannelSession,
  documentChannel,
  documentTypeFor,
  Peer,
} from '../../domains/channels/index.ts'
import type { ChannelType } from '../../domains/instances/index.ts'
import type { CloseReason, Connection } from '../../domains/sync/index.ts'
import type { Log } from '../../kernel/log.ts'

type Options = {
  hub: () => ChannelHub
  log: Log
  /** What the settings say of channels. */
  types: (instanceId: string) => readonly ChannelType[]
  close: (connection: Connection, reason: CloseReason, message: string) => void
}

export type DocumentChannels = {
  /** A text frame of a connection that has a document open. */
  receive: (connection: Connection, frame: ChannelFrame) => void
  closed: (connection: Connection) => void
}

/**
 * A document's own channel, on the document's own socket: whoever may read the document hears it, whoever may write it
 * speaks in it, and both at each moment as the document's access is then.
 */
export function documentChannels({ hub, log, types, close }: Options): DocumentChannels {
  const sessions = new WeakMap<Connection, ChannelSession>()

  function begin(connection: Connection): ChannelSession | undefined {
    const { socket, principal, key } = connection
    if (!socket) return undefined
    const name = documentChannel(key)
    const { instanceId, userId = null } = principal
    const rightsNow = (type: ChannelType) => ({
      publish: type.publish !== 'server' && connection.access === 'write',
      presence: type.presence,
      history: type.history !== 'none',
    })
    const session = new ChannelSession({
      hub: hub(),
      peer: new Peer(socket, { instanceId, userId }),
      log,
      only: name,
      rightsNow,
      judge: async () => {
        const type = documentTypeFor(types(instanceId), name)
        return { isSignedIn: true, verdicts: new Map([[name, { type, rights: rightsNow(type) }]]) }
      },
      maxChannels: 1,
      hasPresence: true,
      end: (reason, message) => close(connection, reason, message),
    })
    sessions.set(connection, session)
    return session
  }

  return {
    receive: (connection, frame) => {
      const session = sessions.get(connection) ?? begin(connection)
      session?.receive(frame)
    },
    closed: (connection) => {
      // Whoever was sent away is not shown any longer; who went without a word may be back in a moment.
      const wasSentAway = connection.closeReason === 'forbidden' || connection.closeReason === 'revoked'
      sessions.get(connection)?.close(wasSentAway ? 'now' : 'soon')
    },
  }
}
