import { type Channel, type ChannelEvents, type ChannelOptions, ChannelSet } from './channels.ts'
import { Emitter } from './emitter.ts'
import { Link, type LinkState } from './link.ts'
import type { GetToken } from './token.ts'
import type { WebSocketConstructor } from './token-web-socket.ts'

export type RealtimeOptions = {
  /** E.g. `wss://realtime.example.com/realtime`. */
  url: string
  /** A session token for the person; asked for before each connection, and when one is about to expire. */
  getToken?: () => ReturnType<GetToken>
  /** The secret key, on a server. */
  token?: string
  /** Of the `ws` package, where there is no global one (Node 20). */
  WebSocket?: WebSocketConstructor
  backoff?: { minMs?: number; maxMs?: number }
}

export type RealtimeConnection = {
  readonly state: LinkState
  on(name: 'state', listener: (state: LinkState) => void): () => void
  /** Joins a channel. Asked for twice it is the same one; `leave()` ends it for everybody here. */
  channel<Events extends ChannelEvents = ChannelEvents>(name: string, options?: ChannelOptions): Channel<Events>
  connect(): void
  disconnect(): void
  destroy(): void
}

/** One socket for any number of channels. Never throws for what a network does: `state` tells. */
export function connectRealtime(options: RealtimeOptions): RealtimeConnection {
  const { url, getToken, token, WebSocket, backoff } = options
  const events = new Emitter<{ state: LinkState }>()
  const link: Link = new Link({
    docId: '',
    address: (given) => (given ?? url).replace(/^http/, 'ws'),
    protocol: 'usher.v1',
    token,
    getToken,
    WebSocket,
    backoff,
    onState(state) {
      if (state.status !== 'open') channels.lost()
      events.emit('state', state)
    },
    onOpen() {
      channels.opened()
    },
    onBinary() {},
    onText(message) {
      if (message.t === 'subbed') link.settled()
      channels.receive(message)
    },
  })
  const channels = new ChannelSet((frame) => link.send(frame))
  link.start()
  return {
    get state() {
      return link.state
    },
    on: (name, listener) => events.on(name, listener),
    channel: (name, options = {}) => channels.open(name, options),
    connect: () => link.start(),
    disconnect: () => link.stop(),
    destroy() {
      channels.end()
      link.stop()
      events.clear()
    },
  }
}
