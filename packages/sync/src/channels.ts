import { Emitter } from './emitter.ts'
import type { TextMessage } from './link.ts'

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

type Asked = {
  frame: TextMessage
  resolve: (answer: TextMessage) => void
  reject: (error: unknown) => void
  isSent: boolean
}

const retryMs = 1000

/** The channels of one socket: what is asked is answered, and what was missed is asked for. */
export class ChannelSet {
  private readonly send: (frame: TextMessage) => boolean
  private readonly channels = new Map<string, OpenChannel<ChannelEvents>>()
  private isOpen = false

  constructor(send: (frame: TextMessage) => boolean) {
    this.send = send
  }

  /** The same channel for everybody who asks for its name, until it is left. */
  open<Events extends ChannelEvents>(name: string, options: ChannelOptions): Channel<Events> {
    const found = this.channels.get(name)
    if (found) return found as unknown as Channel<Events>
    const channel = new OpenChannel<ChannelEvents>(name, options, {
      send: (frame) => this.isOpen && this.send(name === '' ? frame : { ch: name, ...frame }),
      left: () => this.channels.delete(name),
    })
    this.channels.set(name, channel)
    if (this.isOpen) channel.opened()
    return channel as unknown as Channel<Events>
  }

  opened(): void {
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

let ids = 0

class OpenChannel<Events extends ChannelEvents> implements Channel<Events> {
  readonly name: string
  state: ChannelState = { status: 'joining' }
  members: ChannelMember[] = []
  place: Place | undefined
  private presence: Record<string, unknown> | undefined
  private readonly events = new Emitter<ChannelEventMap<Events>>()
  private readonly asked = new Map<string, Asked>()
  private readonly socket: { send: (frame: TextMessage) => boolean; left: () => void }
  private subscription: string | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private hasJoined = false

  constructor(
    name: string,
    { presence, since }: ChannelOptions,
    socket: { send: (frame: TextMessage) => boolean; left: () => void },
  ) {
    this.name = name
    this.presence = presence
    this.place = since
    this.socket = socket
  }

  on<Name extends keyof ChannelEventMap<Events>>(
    name: Name,
    listener: (value: ChannelEventMap<Events>[Name]) => void,
  ): () => void {
    return this.events.on(name, listener)
  }

  publish<Name extends keyof Events & string>(name: Name, data: Events[Name], key?: string) {
    const frame = { t: 'pub', name, data, key: key ?? crypto.randomUUID() }
    return this.ask(frame).then((answer) => {
      const { epoch, offset, at } = answer as unknown as Place & { at: number }
      return { epoch, offset, at }
    })
  }

  async history({ before, limit }: { before?: number; limit?: number } = {}) {
    const { messages } = await this.ask({ t: 'history', ...(before && { before }), ...(limit && { limit }) })
    return messages as ChannelMessage<Events>[]
  }

  setPresence(data: Record<string, unknown> | null): void {
    this.presence = data ?? undefined
    if (this.state.status === 'joined') this.socket.send({ t: 'presence', data })
  }

  leave(): void {
    if (this.state.status === 'joined') this.socket.send({ t: 'unsub' })
    this.finish('left', 'left')
    this.socket.left()
    this.events.clear()
  }

  // Called by the socket

  opened(): void {
    if (this.state.status === 'ended') return
    clearTimeout(this.timer)
    this.subscription = `s${++ids}`
    const { place, presence } = this
    this.socket.send({
      t: 'sub',
      id: this.subscription,
      ...(place && place.epoch !== '' && { since: place }),
      ...(presence && { presence: true, data: presence }),
    })
  }

  lost(): void {
    clearTimeout(this.timer)
    if (this.state.status === 'ended') return
    for (const asked of this.asked.values()) asked.isSent = false
    this.showMembers([])
    this.become({ status: 'joining' })
  }

  receive(frame: TextMessage): boolean {
    switch (frame.t) {
      case 'subbed':
        if (frame.id === this.subscription) this.joined(frame)
        return true
      case 'msg':
        this.take(frame)
        return true
      case 'presence':
        this.changeMembers(frame)
        return true
      case 'role':
        // Of the document itself, not of its channel.
        if (!Array.isArray(frame.can)) return false
        if (frame.ended === true) this.over(String(frame.code))
        else if (this.state.status === 'joined') this.become({ ...this.state, ...rights(frame.can) })
        return true
      case 'ack':
      case 'history':
      case 'err':
        return this.answer(frame)
      default:
        return false
    }
  }

  private joined(frame: TextMessage): void {
    const isNew = !this.hasJoined && !this.place
    this.hasJoined = true
    this.place = { epoch: String(frame.epoch ?? ''), offset: Number(frame.offset ?? 0) }
    this.become({ status: 'joined', ...rights(frame.can), conn: String(frame.conn ?? '') })
    if (Array.isArray(frame.members)) this.showMembers(frame.members as ChannelMember[])
    if (!isNew && frame.recovered === false) this.events.emit('gap', undefined)
    for (const asked of this.asked.values()) this.say(asked)
  }

  private take(frame: TextMessage): void {
    const offset = Number(frame.offset ?? 0)
    const place = this.place
    if (offset > 0 && place) {
      if (offset <= place.offset) return
      // A hole: what is in it comes first.
      if (offset !== place.offset + 1) {
        this.socket.send({ t: 'unsub' })
        this.opened()
        return
      }
      this.place = { epoch: typeof frame.epoch === 'string' ? frame.epoch : place.epoch, offset }
    }
    const { name, data, from, at } = frame
    this.events.emit('message', { name, data, from, at, offset } as ChannelMessage<Events>)
  }

  private changeMembers({ join, update, leave }: TextMessage): void {
    const members = new Map(this.members.map((member) => [member.id, member]))
    for (const member of [...list<ChannelMember>(join), ...list<ChannelMember>(update)]) members.set(member.id, member)
    for (const id of list<string>(leave)) members.delete(id)
    this.showMembers([...members.values()])
  }

  private showMembers(members: ChannelMember[]): void {
    if (members.length === 0 && this.members.length === 0) return
    this.members = members
    this.events.emit('members', members)
  }

  private over(code: string): void {
    if (code !== 'lost') {
      this.finish(code, 'the subscription is over')
      return
    }
    this.place = undefined
    this.become({ status: 'joining' })
    this.opened()
  }

  private answer(frame: TextMessage): boolean {
    if (frame.id === this.subscription && frame.t === 'err') {
      const code = String(frame.code)
      if (code === 'unavailable' || code === 'rate_limited') {
        const pause = typeof frame.retryAfterMs === 'number' ? frame.retryAfterMs : retryMs
        this.timer = setTimeout(() => this.opened(), pause + Math.random() * pause)
      } else if (code !== 'already_subscribed') this.finish(code, String(frame.message))
      return true
    }
    const asked = this.asked.get(String(frame.id))
    if (!asked) return false
    this.asked.delete(String(frame.id))
    if (frame.t === 'err') asked.reject(new ChannelError(String(frame.code), String(frame.message)))
    else asked.resolve(frame)
    return true
  }

  private ask(frame: TextMessage): Promise<TextMessage> {
    return new Promise((resolve, reject) => {
      if (this.state.status === 'ended') {
        reject(new ChannelError(this.state.code, this.state.message))
        return
      }
      const id = `a${++ids}`
      const asked = { frame: { ...frame, id }, resolve, reject, isSent: false }
      this.asked.set(id, asked)
      if (this.state.status === 'joined') this.say(asked)
    })
  }

  private say(asked: Asked): void {
    if (!asked.isSent) asked.isSent = this.socket.send(asked.frame)
  }

  private finish(code: string, message: string): void {
    clearTimeout(this.timer)
    if (this.state.status === 'ended') return
    for (const { reject } of this.asked.values()) reject(new ChannelError(code, message))
    this.asked.clear()
    this.showMembers([])
    this.become({ status: 'ended', code, message })
  }

  private become(state: ChannelState): void {
    this.state = state
    this.events.emit('state', state)
  }
}

function rights(can: unknown): { canPublish: boolean; canReadHistory: boolean; hasPresence: boolean } {
  const all = list<string>(can)
  return {
    canPublish: all.includes('pub'),
    canReadHistory: all.includes('history'),
    hasPresence: all.includes('presence'),
  }
}

const list = <T>(value: unknown): T[] => (Array.isArray(value) ? value : [])
