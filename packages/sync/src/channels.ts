import type { ChannelSeal } from './encrypted-channel.ts'
import type { TextMessage } from './link.ts'
import { OpenChannel } from './open-channel.ts'

/** Names of a channel's events and what comes with them. */
export type ChannelEvents = Record<string, unknown>

export type ChannelMessage<Events extends ChannelEvents = ChannelEvents> = {
  [Name in keyof Events & string]: {
    name: Name
    data: Events[Name]
    /** Counts the messages of a channel that keeps them; 0 where nothing is kept. */
    offset: number
    /** Who published it; `user` is null for the server. */
    from: { user: string | null; conn: string | null }
    /** Milliseconds since 1970. */
    at: number
  }
}[keyof Events & string]

/** Somebody who is in the channel, with one connection or several. */
export type ChannelMember<Data = Record<string, unknown>> = {
  id: string
  user: string | null
  conns: number
  data: Data
}

/**
 * - `joining` asked for, or waiting for the connection
 * - `joined` what one may do there, and the id of this connection (`from.conn` of what it publishes)
 * - `ended` no right to it, or left
 */
export type ChannelState =
  | { status: 'joining' }
  | { status: 'joined'; canPublish: boolean; canReadHistory: boolean; hasPresence: boolean; conn: string }
  | { status: 'ended'; code: string; message: string }

export type ChannelEventMap<Events extends ChannelEvents> = {
  message: ChannelMessage<Events>
  state: ChannelState
  members: ChannelMember[]
  /** Messages were missed that the server no longer has: fetch anew what they told. */
  gap: undefined
}

export type Place = { epoch: string; offset: number }

export type ChannelOptions = {
  /** Be shown among the members, with this; an empty object will do. */
  presence?: Record<string, unknown>
  /** Begin after this message instead of now. */
  since?: Place
}

export type Channel<Events extends ChannelEvents = ChannelEvents> = {
  readonly name: string
  readonly state: ChannelState
  /** Who is there, with whom one asked for by `presence`. */
  readonly members: ChannelMember[]
  /** After the last message that came. */
  readonly place: Place | undefined
  on<Name extends keyof ChannelEventMap<Events>>(
    name: Name,
    listener: (value: ChannelEventMap<Events>[Name]) => void,
  ): () => void
  /**
   * Publishes an event. Sent again under the same key when the connection ends first, so that it is there once.
   *
   * @throws {ChannelError} what the server did not take
   */
  publish<Name extends keyof Events & string>(
    name: Name,
    data: Events[Name],
    key?: string,
  ): Promise<Place & { at: number }>
  /** Messages that came before, oldest first. @throws {ChannelError} */
  history(options?: { before?: number; limit?: number }): Promise<ChannelMessage<Events>[]>
  /** Changes what the others see of this member; `null` is not to be shown. */
  setPresence(data: Record<string, unknown> | null): void
  leave(): void
}

/** What the server did not do, e.g. `forbidden`, `unknown_event`, `invalid_data`, `not_available`, `too_large`. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

type Sealed = { seal: () => ChannelSeal; unreadable: (cause: unknown) => void }

/** The channels of one socket: what is asked is answered, and what was missed is asked for. */
export class ChannelSet {
  private readonly send: (frame: TextMessage) => boolean
  private readonly sealed: Sealed | undefined
  private readonly channels = new Map<string, OpenChannel<ChannelEvents>>()
  private isOpen = false

  /** @param sealed of an encrypted document */
  constructor(send: (frame: TextMessage) => boolean, sealed?: Sealed) {
    this.send = send
    this.sealed = sealed
  }

  /** The same channel for everybody who asks for its name, until it is left. */
  open<Events extends ChannelEvents>(name: string, options: ChannelOptions): Channel<Events> {
    const found = this.channels.get(name)
    if (found) return found as unknown as Channel<Events>
    const channel = new OpenChannel<ChannelEvents>(name, options, {
      send: (frame) => this.isOpen && this.send(name === '' ? frame : { ch: name, ...frame }),
      left: () => this.channels.delete(name),
      seal: this.sealed?.seal(),
      unreadable: (cause) => this.sealed?.unreadable(cause),
    })
    this.channels.set(name, channel)
    if (this.isOpen) channel.opened()
    return channel as unknown as Channel<Events>
  }

  opened(): void {
    if (this.isOpen) return
    this.isOpen = true
    for (const channel of this.channels.values()) channel.opened()
  }

  lost(): void {
    if (!this.isOpen) return
    this.isOpen = false
    for (const channel of this.channels.values()) channel.lost()
  }

  /** @returns false for a frame that is none of channels' */
  receive(frame: TextMessage): boolean {
    // A document's socket has one channel, which needs no name.
    const channel = this.channels.get(typeof frame.ch === 'string' ? frame.ch : '') ?? this.channels.get('')
    if (channel) return channel.receive(frame)
    if (typeof frame.id !== 'string') return false
    return [...this.channels.values()].some((each) => each.receive(frame))
  }

  end(): void {
    for (const channel of [...this.channels.values()]) channel.leave()
  }
}
