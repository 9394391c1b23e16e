import { randomBase62 } from '../../kernel/ids.ts'
import { countChannelFrames } from '../../kernel/metrics.ts'
import type { ChannelType } from '../instances/index.ts'
import type { Channel } from './channel.ts'
import type { Rights } from './rules.ts'

/** What a socket of channels needs of a WebSocket; Bun's server socket is one. */
export type PeerSocket = {
  send(text: string): number
  subscribe(topic: string): void
  unsubscribe(topic: string): void
  getBufferedAmount(): number
}

/**
 * One socket's place in one channel. `opening`: it is being found out what it may do, and what was missed is read; what
 * it says about the channel waits. `live`: it gets every message.
 */
export type Subscription = {
  readonly peer: Peer
  readonly name: string
  state: 'opening' | 'live' | 'gone'
  channel: Channel | undefined
  rights: Rights
  type: ChannelType | undefined
  wantsPresence: boolean
  /** Frames that wait, oldest first. */
  waiting: (() => void)[]
  /** The channel's history is another one now: it cannot go on. */
  lose: () => void
}

/** One socket, seen by channels. */
export class Peer {
  readonly id = randomBase62(12)
  readonly instanceId: string
  /** Null: the application's server, or nobody in particular. */
  readonly userId: string | null
  readonly subscriptions = new Map<string, Subscription>()
  readonly socket: PeerSocket
  isClosed = false

  constructor(socket: PeerSocket, principal: { instanceId: string; userId: string | null }) {
    this.socket = socket
    this.instanceId = principal.instanceId
    this.userId = principal.userId
  }

  sendText(text: string): void {
    if (this.isClosed) return
    countChannelFrames(1, text.length)
    this.socket.send(text)
  }

  send(frame: { t: string; [key: string]: unknown }): void {
    this.sendText(JSON.stringify(frame))
  }
}
