import { UsherError } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import { channelMessages } from '../../kernel/metrics.ts'
import type { ChannelType } from '../instances/index.ts'
import type { CloseReason } from '../sync/index.ts'
import type { Held } from './channel.ts'
import { checkEvent } from './check-event.ts'
import { type ChannelErrorCode, type ChannelFrame, can, isDeeperThan, isId, sinceOf } from './frames.ts'
import type { ChannelHub, Since } from './hub.ts'
import type { ChannelVerdict, Judgement } from './judgement.ts'
import { channelLimits } from './limits.ts'
import { isChannelName, isEventName } from './names.ts'
import type { Peer, Subscription } from './peer.ts'
import type { Rights } from './rules.ts'

type Options = {
  hub: ChannelHub
  peer: Peer
  log: Log
  /** What the other end may do in channels now. */
  judge: (names: readonly string[]) => Promise<Judgement>
  /** Of a document's own socket: what its access allows at this moment. */
  rightsNow?: (type: ChannelType) => Rights
  /** The one channel of a document's socket: it needs not be named. */
  only?: string
  maxChannels: number
  /** Whether it can show that it is there. */
  hasPresence: boolean
  end: (reason: CloseReason, message: string) => void
  /** How much waits to be acknowledged: reading may pause. */
  onPending?: (messages: number, bytes: number) => void
}

const judgeRetries = 5
const keyPattern = /^[\x21-\x7e]{1,128}$/

/** What one socket says about channels, and what it is told. */
export class ChannelSession {
  readonly peer: Peer
  private readonly options: Options
  private pendingMessages = 0
  private pendingBytes = 0
  private presenceLevel = channelLimits.presenceBurst as number
  private presenceAt = performance.now()
  /** How often somebody's rights changed, as far as they may concern this socket. */
  private changes = 0
  private isJudging = false
  /** Pages of histories that are being read. */
  private reading = 0

  constructor(options: Options) {
    this.options = options
    this.peer = options.peer
  }

  /** @returns false for a frame that is none of channels' */
  receive(frame: ChannelFrame): boolean {
    if (this.peer.isClosed) return true
    switch (frame.t) {
      case 'sub':
        void this.subscribe(frame)
        return true
      case 'unsub':
        this.unsubscribe(frame)
        return true
      case 'pub':
        this.withSubscription(frame, (s) => this.send(s, frame))
        return true
      case 'history':
        this.withSubscription(frame, (s) => void this.history(s, frame))
        return true
      case 'presence':
        this.withSubscription(frame, (s) => this.setPresence(s, frame))
        return true
      default:
        return false
    }
  }

  refuse(frame: ChannelFrame, code: ChannelErrorCode, message: string, more: { retryAfterMs?: number } = {}): void {
    const { id, ch } = frame
    const about = isId(id) ? { id } : {}
    const channel = isChannelName(ch) ? { ch } : {}
    this.peer.send({ t: 'err', ...about, ...channel, code, message, ...more })
  }

  /** The socket is gone. @param shownUntil `soon`: for a moment it may be back as if nothing had happened */
  close(shownUntil: 'now' | 'soon'): void {
    const graceMs = shownUntil === 'soon' ? channelLimits.presenceGraceMs : 0
    this.peer.isClosed = true
    for (const subscription of this.peer.subscriptions.values()) this.options.hub.leave(subscription, graceMs)
    this.peer.subscriptions.clear()
  }

  private end({ ended }: Judgement) {
    this.options.end(ended?.reason ?? 'revoked', ended?.message ?? 'the session has ended')
  }

  private nameIn({ ch }: ChannelFrame): string | undefined {
    const { only } = this.options
    if (only !== undefined) return ch === undefined || ch === only ? only : undefined
    return isChannelName(ch) ? ch : undefined
  }

  // Subscribing

  private async subscribe(frame: ChannelFrame): Promise<void> {
    const { hub, maxChannels } = this.options
    const { subscriptions } = this.peer
    const name = this.nameIn(frame)
    const since = sinceOf(frame.since)
    if (name === undefined || since === null) return this.refuse(frame, 'malformed', 'a channel and a place are needed')
    if (subscriptions.has(name))
      return this.refuse(frame, 'already_subscribed', 'this socket is in the channel already')
    if (subscriptions.size >= maxChannels)
      return this.refuse(frame, 'too_many_channels', `a socket has ${maxChannels} channels at most`)
    const subscription: Subscription = {
      peer: this.peer,
      name,
      state: 'opening',
      channel: undefined,
      rights: { publish: false, presence: false, history: false },
      type: undefined,
      wantsPresence: frame.presence === true,
      waiting: [],
      lose: () => this.lose(subscription, 'lost'),
    }
    subscriptions.set(name, subscription)
    try {
      const judgement = await this.judgeSettled(name)
      if (!judgement.isSignedIn) return this.end(judgement)
      const { verdicts } = judgement
      if (this.isOver(subscription)) return
      const verdict = verdicts.get(name)
      if (!verdict) {
        this.forget(subscription)
        return this.refuse(frame, 'forbidden', 'no right to this channel')
      }
      Object.assign(subscription, verdict)
      const channel = await hub.open(this.peer.instanceId, name, verdict.type)
      if (this.isOver(subscription)) return
      if (!verdict.rights.presence) subscription.wantsPresence = false
      hub.enter(channel, subscription)
      await this.begin(subscription, frame, since)
    } catch (error) {
      if (this.isOver(subscription)) return
      this.options.log.warn({ err: error }, 'a channel could not be opened')
      this.forget(subscription)
      this.refuse(frame, 'unavailable', 'the channel cannot be opened now', { retryAfterMs: 1000 })
    }
  }

  /** Judges a channel until nothing changed meanwhile. */
  private async judgeSettled(name: string): Promise<Judgement> {
    for (;;) {
      const before = this.changes
      const judgement = await this.options.judge([name])
      if (before === this.changes || this.peer.isClosed) return judgement
    }
  }

  /** Says where the subscriber stands, gives it what it missed, and lets it take part. */
  private async begin(subscription: Subscription, frame: ChannelFrame, since: Since | undefined): Promise<void> {
    const { hub } = this.options
    const channel = subscription.channel
    if (!channel) return
    let page = since && (await hub.recover(channel, since))
    if (this.isOver(subscription)) return
    let position = page && since ? since.offset : channel.delivered
    const presence = subscription.wantsPresence ? hub.presences.of(channel) : undefined
    const { id } = frame
    this.peer.send({
      t: 'subbed',
      ...(isId(id) && { id }),
      ch: subscription.name,
      epoch: channel.epoch,
      offset: position,
      recovered: page !== undefined,
      can: can(this.rightsOf(subscription)),
      conn: this.peer.id,
      ...(presence && { members: presence.members() }),
    })
    page ??= []
    for (;;) {
      for (const held of page) {
        if (!(await this.drained())) return this.options.end('slow_consumer', 'what was missed was not taken')
        if (this.isOver(subscription)) return
        this.peer.sendText(channel.frameOf(held))
      }
      position = page.at(-1)?.offset ?? position
      // Nothing comes between this look and the next message.
      if (position === channel.delivered) break
      const next: Held[] | undefined = await hub.after(channel, position)
      if (this.isOver(subscription)) return
      if (!next) return this.lose(subscription, 'lost')
      page = next
    }
    hub.attach(channel, subscription)
    if (presence && this.options.hasPresence) this.setPresence(subscription, { ...frame, data: frame.data ?? {} })
    this.flush(subscription)
  }

  /** @returns false when the socket takes nothing for too long */
  private async drained(): Promise<boolean> {
    if (this.peer.socket.getBufferedAmount() <= channelLimits.bufferedBytes) return true
    const until = performance.now() + channelLimits.laggingMs
    while (this.peer.socket.getBufferedAmount() > channelLimits.bufferedBytes) {
      if (this.peer.isClosed || performance.now() > until) return this.peer.isClosed
      await Bun.sleep(20)
    }
    return true
  }

  private isOver(subscription: Subscription): boolean {
    return this.peer.isClosed || subscription.state === 'gone'
  }

  private forget(subscription: Subscription) {
    this.options.hub.leave(subscription, 0)
    if (this.peer.subscriptions.get(subscription.name) === subscription)
      this.peer.subscriptions.delete(subscription.name)
    for (const answer of subscription.waiting.splice(0)) answer()
  }

  /** Ends a subscription that the client did not end. */
  lose(subscription: Subscription, code: 'forbidden' | 'lost'): void {
    if (subscription.state === 'gone') return
    const { name } = subscription
    this.forget(subscription)
    this.peer.send({ t: 'role', ch: name, can: [], ended: true, code })
  }

  private unsubscribe(frame: ChannelFrame) {
    const name = this.nameIn(frame)
    const subscription = name === undefined ? undefined : this.peer.subscriptions.get(name)
    if (subscription) this.forget(subscription)
  }

  // Rights

  private rightsOf({ rights, type }: Subscription): Rights {
    return type && this.options.rightsNow ? this.options.rightsNow(type) : rights
  }

  /** Asks anew what the other end may do. Until there is an answer nothing that it says counts. */
  async judgeAgain(): Promise<void> {
    this.changes++
    // One at a time: an answer that was read earlier must not come after one that was read later.
    if (this.isJudging) return
    this.isJudging = true
    try {
      for (let judged = -1; judged !== this.changes && !this.peer.isClosed; ) {
        judged = this.changes
        await this.judgeOnce()
      }
    } finally {
      this.isJudging = false
    }
    for (const subscription of [...this.peer.subscriptions.values()]) this.flush(subscription)
  }

  private async judgeOnce(): Promise<void> {
    const judged = [...this.peer.subscriptions.values()].filter((s) => s.type !== undefined)
    for (let attempt = 1; !this.peer.isClosed; attempt++) {
      try {
        const judgement = await this.options.judge(judged.map((s) => s.name))
        if (this.peer.isClosed) return
        if (!judgement.isSignedIn) return this.end(judgement)
        for (const subscription of judged) this.apply(subscription, judgement.verdicts.get(subscription.name))
        return
      } catch (error) {
        this.options.log.warn({ err: error }, 'the rights of live sockets could not be read')
        if (attempt >= judgeRetries) return this.options.end('storage_unavailable', 'rights cannot be checked now')
        await Bun.sleep(100)
      }
    }
  }

  private apply(subscription: Subscription, verdict: ChannelVerdict) {
    if (subscription.state === 'gone') return
    if (!verdict) return this.lose(subscription, 'forbidden')
    const before = can(subscription.rights).join()
    subscription.type = verdict.type
    subscription.rights = verdict.rights
    const now = can(verdict.rights)
    if (now.join() !== before) this.peer.send({ t: 'role', ch: subscription.name, can: now })
  }

  /** Does something for a channel that the socket is in, once it is known what it may do there. */
  private withSubscription(frame: ChannelFrame, work: (subscription: Subscription) => void) {
    const name = this.nameIn(frame)
    if (name === undefined) return this.refuse(frame, 'malformed', 'this is not the name of a channel')
    const subscription = this.peer.subscriptions.get(name)
    if (!subscription) return this.refuse(frame, 'not_subscribed', 'subscribe to the channel first')
    if (subscription.state === 'live' && !this.isJudging) return work(subscription)
    if (subscription.waiting.length >= channelLimits.waitingFrames)
      return this.refuse(frame, 'rate_limited', 'too much is waiting', { retryAfterMs: 1000 })
    // Nobody who loses the channel meanwhile is left without an answer.
    subscription.waiting.push(() => {
      if (subscription.state === 'live') work(subscription)
      else this.refuse(frame, 'not_subscribed', 'subscribe to the channel first')
    })
  }

  private flush(subscription: Subscription) {
    while (subscription.state === 'live' && !this.isJudging) {
      const next = subscription.waiting.shift()
      if (!next) return
      next()
    }
  }

  // Messages

  private send(subscription: Subscription, frame: ChannelFrame) {
    const { hub, peer } = { hub: this.options.hub, peer: this.peer }
    const { name, type } = subscription
    if (!type || !this.rightsOf(subscription).publish)
      return this.refuse(frame, 'forbidden', 'no right to publish in this channel')
    const { name: event, data = null, key } = frame
    if (!isEventName(event)) return this.refuse(frame, 'malformed', 'this is not the name of an event')
    if (key !== undefined && (typeof key !== 'string' || !keyPattern.test(key)))
      return this.refuse(frame, 'malformed', 'a key has 1 to 128 visible characters')
    if (isDeeperThan(data, channelLimits.dataDepth))
      return this.refuse(frame, 'malformed', 'the data is nested too deep')
    const payload = JSON.stringify(data)
    if (Buffer.byteLength(payload) > channelLimits.dataBytes)
      return this.refuse(frame, 'too_large', `data has ${channelLimits.dataBytes} bytes at most`)
    const fault = checkEvent(type, event, data)
    if (fault !== undefined) {
      const known = type.events && Object.hasOwn(type.events, event)
      return this.refuse(frame, known ? 'invalid_data' : 'unknown_event', fault)
    }
    channelMessages.inc({ via: 'socket' })
    this.count(1, payload.length)
    const from = { user: peer.userId, conn: peer.id }
    hub
      .send({ instanceId: peer.instanceId, channel: name, type, name: event, payload, from, key })
      .then(
        ({ epoch, offset, at }) => {
          const about = isId(frame.id) ? { id: frame.id } : {}
          peer.send({ t: 'ack', ...about, epoch, offset, at })
        },
        (error) => {
          if (error instanceof UsherError && error.code === 'conflict')
            return this.refuse(frame, 'conflict', error.message)
          if (!(error instanceof UsherError)) this.options.log.error({ err: error }, 'a message could not be sent')
          this.refuse(frame, 'unavailable', 'the message could not be stored', { retryAfterMs: 1000 })
        },
      )
      .finally(() => this.count(-1, -payload.length))
  }

  private count(messages: number, bytes: number) {
    this.pendingMessages += messages
    this.pendingBytes += bytes
    this.options.onPending?.(this.pendingMessages, this.pendingBytes)
  }

  private async history(subscription: Subscription, frame: ChannelFrame): Promise<void> {
    const { channel } = subscription
    const { id, before, limit = channelLimits.historyLimit } = frame
    if (!channel || !this.rightsOf(subscription).history)
      return this.refuse(frame, 'not_available', 'nothing is kept of this channel')
    const isWhole = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 1
    if ((before !== undefined && !isWhole(before)) || !isWhole(limit) || limit > channelLimits.historyLimit)
      return this.refuse(frame, 'malformed', `a limit is between 1 and ${channelLimits.historyLimit}`)
    // A question is short and its answer may have megabytes: who asks faster than they read keeps the database busy.
    if (this.reading >= channelLimits.historiesAtOnce)
      return this.refuse(frame, 'rate_limited', 'pages are being read', { retryAfterMs: 1000 })
    this.reading++
    try {
      const held = await this.options.hub.history(channel, before, limit)
      if (this.isOver(subscription)) return
      const head = JSON.stringify({
        t: 'history',
        ...(isId(id) && { id }),
        ch: subscription.name,
        epoch: channel.epoch,
      })
      this.peer.sendText(`${head.slice(0, -1)},"messages":[${held.map(({ body }) => `{${body}}`).join(',')}]}`)
    } catch (error) {
      this.options.log.warn({ err: error }, 'a history could not be read')
      this.refuse(frame, 'unavailable', 'the history cannot be read now', { retryAfterMs: 1000 })
    } finally {
      this.reading--
    }
  }

  // Presence

  private setPresence(subscription: Subscription, frame: ChannelFrame) {
    const { hub, hasPresence } = this.options
    const { channel } = subscription
    const { data = null } = frame
    if (!channel || !hasPresence || !this.rightsOf(subscription).presence)
      return this.refuse(frame, 'not_available', 'nobody is shown in this channel')
    const presence = hub.presences.of(channel)
    const now = performance.now()
    if (data === null) {
      if (presence.remove(this.peer, 0, now)) hub.presences.tell(channel)
      return
    }
    if (typeof data !== 'object' || Array.isArray(data) || Object.keys(data).length > channelLimits.presenceKeys)
      return this.refuse(frame, 'malformed', `presence is an object with ${channelLimits.presenceKeys} names at most`)
    if (isDeeperThan(data, channelLimits.dataDepth))
      return this.refuse(frame, 'malformed', 'the data is nested too deep')
    if (Buffer.byteLength(JSON.stringify(data)) > channelLimits.presenceBytes)
      return this.refuse(frame, 'too_large', `presence has ${channelLimits.presenceBytes} bytes at most`)
    const { presenceBurst, presencePerSecond } = channelLimits
    const level = this.presenceLevel + ((now - this.presenceAt) * presencePerSecond) / 1000
    this.presenceLevel = Math.min(presenceBurst, level) - 1
    this.presenceAt = now
    if (this.presenceLevel < 0) {
      this.presenceLevel = 0
      return this.refuse(frame, 'rate_limited', 'too many changes of presence', { retryAfterMs: 1000 })
    }
    presence.set(this.peer, data, now)
    hub.presences.tell(channel)
  }
}
