import {
  type Channel,
  ChannelError,
  type ChannelEventMap,
  type ChannelEvents,
  type ChannelMember,
  type ChannelMessage,
  type ChannelOptions,
  type ChannelState,
  type Place,
} from './channels.ts'
import { inOrder } from './crypto/in-order.ts'
import { Emitter } from './emitter.ts'
import type { ChannelSeal } from './encrypted-channel.ts'
import type { TextMessage } from './link.ts'

/** What a channel needs of the socket that it is on. */
export type ChannelSocket = {
  send: (frame: TextMessage) => boolean
  left: () => void
  /** Of an encrypted document: nothing is said, and nothing believed, that is not sealed. */
  seal: ChannelSeal | undefined
  /** A message could not be opened, and is left out. */
  unreadable: (cause: unknown) => void
}

type Asked = {
  frame: TextMessage
  /** An event's name: its data still have to be sealed. */
  sealedAs: string | undefined
  resolve: (answer: TextMessage) => void
  reject: (error: unknown) => void
  isSealing: boolean
  isSent: boolean
}

const retryMs = 1000

let ids = 0

/** One channel of a socket: it waits for the connection, asks anew after each, and knows where it is. */
export class OpenChannel<Events extends ChannelEvents> implements Channel<Events> {
  readonly name: string
  state: ChannelState = { status: 'joining' }
  members: ChannelMember[] = []
  place: Place | undefined
  private presence: Record<string, unknown> | undefined
  private readonly events = new Emitter<ChannelEventMap<Events>>()
  private readonly asked = new Map<string, Asked>()
  private readonly socket: ChannelSocket
  /** As the server tells of them. */
  private told: ChannelMember[] = []
  private readonly inOrder = inOrder()
  /** Undefined while nothing was asked on this connection. */
  private subscription: string | undefined
  /** What the server was told of this member when it was asked. */
  private presenceTold: Record<string, unknown> | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private hasJoined = false

  constructor(name: string, { presence, since }: ChannelOptions, socket: ChannelSocket) {
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
    return this.ask(frame, name).then((answer) => {
      const { epoch, offset, at } = answer as unknown as Place & { at: number }
      return { epoch, offset, at }
    })
  }

  async history({ before, limit }: { before?: number; limit?: number } = {}) {
    const { messages } = await this.ask({ t: 'history', ...(before && { before }), ...(limit && { limit }) })
    const { seal, unreadable } = this.socket
    if (!seal) return messages as ChannelMessage<Events>[]
    const outcomes = await seal.openKept(list<ChannelMessage<Events>>(messages))
    for (const { error } of outcomes) if (error) unreadable(error)
    return outcomes.flatMap(({ message, error }) => (error ? [] : [message]))
  }

  setPresence(data: Record<string, unknown> | null): void {
    this.presence = data ?? undefined
    if (this.state.status === 'joined') this.tellPresence()
  }

  leave(): void {
    if (this.state.status === 'joined') this.socket.send({ t: 'unsub' })
    this.finish('left', 'left')
    this.socket.left()
    this.socket.seal?.end()
    this.events.clear()
  }

  // Called by the socket

  opened(): void {
    if (this.state.status === 'ended') return
    clearTimeout(this.timer)
    const subscription = `s${++ids}`
    this.subscription = subscription
    const { presence, socket } = this
    this.presenceTold = presence
    if (!presence || !socket.seal) {
      this.subscribe(presence)
      return
    }
    socket.seal.sealPresence(presence).then(
      (sealed) => this.subscription === subscription && this.subscribe(sealed),
      (cause) => this.finish('not_sealed', String(cause)),
    )
  }

  private subscribe(presence: Record<string, unknown> | undefined): void {
    const { place } = this
    this.socket.send({
      t: 'sub',
      id: this.subscription,
      ...(place && place.epoch !== '' && { since: place }),
      ...(presence && { presence: true, data: presence }),
    })
  }

  private tellPresence(): void {
    const { presence, socket, subscription } = this
    if (!presence || !socket.seal) {
      socket.send({ t: 'presence', data: presence ?? null })
      return
    }
    // What was said meanwhile, or on another connection, is newer.
    const isStill = () => this.presence === presence && this.subscription === subscription
    socket.seal
      .sealPresence(presence)
      .then(
        (data) => isStill() && this.state.status === 'joined' && socket.send({ t: 'presence', data }),
        socket.unreadable,
      )
  }

  lost(): void {
    clearTimeout(this.timer)
    if (this.state.status === 'ended') return
    for (const asked of this.asked.values()) asked.isSent = false
    this.subscription = undefined
    this.socket.seal?.lost()
    this.showMembers([])
    this.become({ status: 'joining' })
  }

  receive(frame: TextMessage): boolean {
    if (this.subscription === undefined) return false
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
    if (this.presence !== this.presenceTold) this.tellPresence()
    if (!isNew && frame.recovered === false) this.missed()
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
    const { seal, unreadable } = this.socket
    const show = (data: unknown) =>
      this.events.emit('message', { name, data, from, at, offset } as ChannelMessage<Events>)
    if (seal) this.inOrder(seal.open(String(name), data)).then(show, unreadable)
    else show(data)
  }

  private missed(): void {
    const tell = () => this.events.emit('gap', undefined)
    // After what came before it and is still being opened.
    if (this.socket.seal) this.inOrder(Promise.resolve()).then(tell)
    else tell()
  }

  private changeMembers({ join, update, leave }: TextMessage): void {
    const members = new Map(this.told.map((member) => [member.id, member]))
    for (const member of [...list<ChannelMember>(join), ...list<ChannelMember>(update)]) members.set(member.id, member)
    for (const id of list<string>(leave)) members.delete(id)
    this.showMembers([...members.values()])
  }

  private showMembers(told: ChannelMember[]): void {
    if (told.length === 0 && this.told.length === 0) return
    this.told = told
    const { seal } = this.socket
    if (!seal || told.length === 0) {
      this.setMembers(told)
      return
    }
    const opened = told.map(async (member) => ({ ...member, data: await seal.openPresence(member.data) }))
    // Opening takes time, and by then others may be there.
    Promise.all(opened).then((members) => this.told === told && this.setMembers(members))
  }

  private setMembers(members: ChannelMember[]): void {
    this.members = members
    this.events.emit('members', members)
  }

  private over(code: string): void {
    if (code !== 'lost') {
      this.finish(code, 'the subscription is over')
      return
    }
    // Whoever came with a place has missed something as well.
    this.hasJoined ||= this.place !== undefined
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

  /** @param sealedAs the event's name, for what has data to be sealed */
  private ask(frame: TextMessage, sealedAs?: string): Promise<TextMessage> {
    return new Promise((resolve, reject) => {
      if (this.state.status === 'ended') {
        reject(new ChannelError(this.state.code, this.state.message))
        return
      }
      const id = `a${++ids}`
      const asked: Asked = { frame: { ...frame, id }, sealedAs, resolve, reject, isSealing: false, isSent: false }
      this.asked.set(id, asked)
      if (this.state.status === 'joined') this.say(asked)
    })
  }

  private say(asked: Asked): void {
    if (asked.isSent || asked.isSealing) return
    const { seal } = this.socket
    const { sealedAs, frame } = asked
    if (!seal || sealedAs === undefined) {
      asked.isSent = this.socket.send(frame)
      return
    }
    // Sealed once, and only when the document's key is certain. Sent again it is the same bytes.
    asked.isSealing = true
    seal.seal(sealedAs, frame.data).then(
      (data) => {
        Object.assign(asked, { frame: { ...frame, data }, sealedAs: undefined, isSealing: false })
        if (this.state.status === 'joined') this.say(asked)
      },
      (error) => {
        this.asked.delete(String(frame.id))
        asked.reject(error)
      },
    )
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
