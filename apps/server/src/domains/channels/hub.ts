import { createHash } from 'node:crypto'
import type { SQL } from 'bun'
import { readDatabaseLine } from '../../database/index.ts'
import type { Cluster } from '../../kernel/cluster/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { randomBase62 } from '../../kernel/ids.ts'
import { inTime } from '../../kernel/in-time.ts'
import type { Log } from '../../kernel/log.ts'
import { realtimeAcks, realtimeCommitSeconds } from '../../kernel/metrics.ts'
import type { ChannelType } from '../instances/index.ts'
import { Channel, type Held, type Keeping } from './channel.ts'
import { channelLimits } from './limits.ts'
import { encodeBody, type Message, messageFrame, type Sender } from './message.ts'
import type { Subscription } from './peer.ts'
import { Presences } from './presences.ts'
import { findChannel, findHeads, findHistory, readAfter, readBefore } from './store.ts'
import { ChannelWriter } from './writer.ts'

export type Since = { epoch: string; offset: number }

/** A message that was taken. `offset` is 0 where a channel keeps nothing. */
export type Published = { epoch: string; offset: number; at: number; isRepeated: boolean }

type Publication = {
  instanceId: string
  channel: string
  type: Pick<ChannelType, 'history' | 'retentionDays'>
  name: string
  /** JSON. */
  payload: string
  from: Sender
  /** A repetition of what the same sender said under it is taken once. */
  key?: string | undefined
  /** Other nodes say it themselves. Of channels that keep nothing. */
  isLocal?: boolean
}

type Options = {
  sql: SQL
  /** Makes a driver with so many connections. */
  connect: (max: number) => SQL
  cluster: Cluster
  log: Log
}

const day = 86_400_000
/** While nodes cannot hear each other, and now and then when they can. */
const reconcileMs = 500
const reconcileSeldomMs = 5000
/** How long the database may take to say on which history it is. */
const answerMs = 10_000

/**
 * The channels of this node: who is in them, what is said, in which order. It trusts its callers: who may do what is
 * decided before it is asked.
 */
export class ChannelHub {
  /** Hands a text to everybody who is subscribed to a topic: the server's. */
  publish: (topic: string, text: string) => unknown = () => {}
  private readonly channels = new Map<string, Channel>()
  private readonly opening = new Map<string, Promise<Channel>>()
  private readonly sql: SQL
  private readonly writer: ChannelWriter
  private readonly cluster: Cluster
  private readonly log: Log
  private readonly timers: ReturnType<typeof setInterval>[]
  /** Who shows that they are in the channels. */
  readonly presences: Presences
  private readonly forgetCluster: () => void
  private reconciledAt = 0
  private isReconciling = false
  /** Of the history that the database was on when it was last looked at; undefined: it has not said. */
  private token: string | undefined
  private looking: Promise<void> | undefined
  /** A channel that is opened before it would be of another epoch in a moment. */
  private readonly firstLook: Promise<void>

  constructor({ sql, connect, cluster, log }: Options) {
    this.sql = sql
    this.cluster = cluster
    this.log = log
    this.presences = new Presences({
      cluster,
      log,
      channels: () => this.channels.values(),
      publish: (topic, text) => this.publish(topic, text),
    })
    this.writer = new ChannelWriter(connect(1), log, (seconds, messages) => {
      realtimeCommitSeconds.observe({ plane: 'realtime' }, seconds)
      realtimeAcks.inc({ plane: 'realtime' }, messages)
    })
    const forgetChanges = cluster.onChange((connected) => {
      if (connected) void this.reconcile()
    })
    const forgetDoubts = cluster.onDoubt(() => {
      this.reconciledAt = Number.NEGATIVE_INFINITY
    })
    const forgetNodes = cluster.onNodeGone((nodeId) => this.presences.forgetNode(nodeId))
    this.forgetCluster = () => {
      forgetChanges()
      forgetDoubts()
      forgetNodes()
    }
    this.timers = [
      setInterval(() => this.sweep(), 1000),
      setInterval(() => {
        const everyMs = cluster.complete ? reconcileSeldomMs : reconcileMs
        if (cluster.isShared && performance.now() - this.reconciledAt >= everyMs) void this.reconcile()
      }, reconcileMs),
    ]
    for (const timer of this.timers) timer.unref()
    this.firstLook = this.lookAtHistory()
  }

  get size(): number {
    return this.channels.size
  }

  /** Stores what waits. Nothing is taken after that. */
  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer)
    this.presences.stop()
    this.forgetCluster()
    for (const channel of this.channels.values()) this.drop(channel)
    await this.writer.stop()
  }

  /** Where several nodes hear each other, a ring in one of them cannot be the truth: what is short-lived is stored too. */
  private keepingOf({ history }: Pick<ChannelType, 'history'>): Keeping {
    return history === 'memory' && this.cluster.isShared ? 'durable' : history
  }

  private expiryOf({ history, retentionDays }: Publication['type'], at: number): number | null {
    if (history === 'memory') return at + channelLimits.ringMs
    return retentionDays === 0 ? null : at + retentionDays * day
  }

  /** The channel, once it is known where it stands. Of calls at the same moment one does it. */
  async open(instanceId: string, name: string, type: Pick<ChannelType, 'history'>): Promise<Channel> {
    const key = `${instanceId} ${name}`
    const keeping = this.keepingOf(type)
    const held = this.channels.get(key)
    if (held && held.keeping === keeping) {
      held.touchedAt = performance.now()
      return held
    }
    const under = this.opening.get(key)
    if (under) {
      const channel = await under
      if (channel.keeping === keeping) return channel
      return this.open(instanceId, name, type)
    }
    // What is kept of it is another thing now: whoever is in it comes back to that.
    if (held) this.end(held)
    const promise = this.load(new Channel(instanceId, name, keeping))
    this.opening.set(key, promise)
    try {
      const channel = await promise
      this.channels.set(key, channel)
      return channel
    } finally {
      this.opening.delete(key)
    }
  }

  private async load(channel: Channel): Promise<Channel> {
    if (channel.keeping === 'memory') channel.epoch = randomBase62(16)
    try {
      // Heard before it is read: what comes in between is known of.
      if (this.cluster.isShared) await this.listen(channel)
      if (channel.keeping === 'durable') await this.place(channel)
      channel.isLoading = false
      if (channel.known > channel.delivered) void this.catchUp(channel)
      return channel
    } catch (error) {
      for (const end of channel.ends) end()
      throw error
    }
  }

  /** Finds out where a channel stands. */
  private async place(channel: Channel): Promise<void> {
    await this.firstLook
    const stored = await findChannel(this.sql, channel.instanceId, channel.name)
    if (!stored) return
    channel.id = stored.id
    channel.epoch = stored.head > 0 ? this.epochOf(stored.epoch) : ''
    channel.delivered = stored.head
  }

  /** Hears what other nodes say about a channel. */
  private async listen(channel: Channel): Promise<void> {
    const heard = this.cluster.subscribe(channel.topic, (bytes) => this.hear(channel, bytes))
    channel.ends.push(heard.end)
    await heard.active
  }

  private hear(channel: Channel, bytes: Uint8Array) {
    const { epoch, offset, body, hint } = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (hint) return void this.publish(channel.topic, JSON.stringify(hint))
    if (channel.keeping === 'none') {
      if (typeof body === 'string') this.publish(channel.topic, messageFrame(channel.name, '', 0, body))
      return
    }
    // Of a later version: the database knows what was said.
    if (typeof epoch !== 'string' || !Number.isSafeInteger(offset)) this.reconciledAt = Number.NEGATIVE_INFINITY
    else this.arrive(channel, epoch, offset)
  }

  /** Ends a channel for everybody who is in it: they come back by themselves. */
  private end(channel: Channel) {
    for (const subscription of [...channel.subscriptions]) subscription.lose()
    this.drop(channel)
  }

  /** Forgets channels whose owner is gone. @param isPrefix whether their names begin so; otherwise it is the name of one */
  forget(instanceId: string, owned: string, isPrefix: boolean): void {
    for (const channel of [...this.channels.values()]) {
      const { name } = channel
      if (channel.instanceId !== instanceId) continue
      if (isPrefix ? name.startsWith(owned) : name === owned) this.end(channel)
    }
  }

  private drop(channel: Channel) {
    channel.isDropped = true
    for (const end of channel.ends) end()
    this.presences.drop(channel)
    const key = `${channel.instanceId} ${channel.name}`
    if (this.channels.get(key) === channel) this.channels.delete(key)
  }

  // Messages

  /**
   * Takes a message: gives it its place, hands it to everybody who is there, and answers when it is as safe as the
   * channel promises.
   *
   * @throws {UsherError} `conflict` for another message under a key that was used, `unavailable`
   */
  async send(publication: Publication): Promise<Published> {
    const { instanceId, channel: name, type, payload, from, key, isLocal = false } = publication
    const channel = await this.open(instanceId, name, type)
    channel.touchedAt = performance.now()
    const at = Date.now()
    const sender = from.user ?? 'backend'
    const digest = createHash('sha256').update(`${publication.name} ${payload}`).digest('base64url')
    const message = { name: publication.name, payload, from, at }
    if (channel.keeping === 'durable') {
      // A key of its own for each, so that a flush that is repeated writes nothing twice.
      const stored = await this.writer.add(channel, {
        ...message,
        key: key === undefined ? `~${randomBase62(22)}` : `${sender} ${key}`,
        digest,
        expiresAt: this.expiryOf(type, at),
      })
      if (!stored.isSame) throw otherMessage()
      const epoch = this.epochOf(stored.epoch)
      if (!stored.isRepeated) this.commit(channel, epoch, { ...message, offset: stored.offset })
      return { ...stored, epoch }
    }
    const known = key === undefined ? undefined : channel.keys.get(`${sender} ${key}`)
    if (known) {
      if (known.digest !== digest) throw otherMessage()
      return { epoch: channel.epoch, offset: known.offset, at: known.at, isRepeated: true }
    }
    const offset = channel.keeping === 'memory' ? ++channel.delivered : 0
    channel.known = channel.delivered
    if (key !== undefined) channel.remember(`${sender} ${key}`, { offset, at, digest })
    if (channel.keeping === 'memory') this.publish(channel.topic, channel.frameOf(channel.hold({ ...message, offset })))
    else {
      const body = encodeBody({ ...message, offset })
      this.publish(channel.topic, messageFrame(name, '', 0, body))
      if (this.cluster.isShared && !isLocal)
        this.cluster.publish(channel.topic, JSON.stringify({ epoch: '', offset: 0, body }))
    }
    return { epoch: channel.epoch, offset, at, isRepeated: false }
  }

  /** A message of this node is committed. Others may have committed before it, and may have been heard already. */
  private commit({ instanceId, name, topic }: Channel, epoch: string, message: Message) {
    if (this.cluster.isShared) this.cluster.publish(topic, JSON.stringify({ epoch, offset: message.offset }))
    // It may have been dropped and opened again while the message was stored.
    const channel = this.channels.get(`${instanceId} ${name}`)
    if (!channel) return
    this.beginEpoch(channel, epoch)
    if (channel.epoch === epoch && message.offset === channel.delivered + 1 && !channel.isCatchingUp) {
      this.deliver(channel, message)
      channel.known = Math.max(channel.known, message.offset)
    } else this.arrive(channel, epoch, message.offset)
  }

  private deliver(channel: Channel, message: Message) {
    channel.delivered = message.offset
    this.publish(channel.topic, channel.frameOf(channel.hold(message)))
  }

  /** The first message of a channel gives it its epoch; any other change means that another history has begun. */
  private beginEpoch(channel: Channel, epoch: string) {
    if (channel.epoch === epoch) return
    if (channel.epoch === '') {
      channel.epoch = epoch
      return
    }
    this.log.warn({ channel: channel.name }, 'the history of a channel began anew')
    this.end(channel)
    // Another node may have noticed what this one has not.
    void this.lookAtHistory()
  }

  /** There is a message with this offset. Whatever lies between is read, in order. */
  private arrive(channel: Channel, epoch: string, offset: number) {
    if (!channel.isLoading) this.beginEpoch(channel, epoch)
    if ((!channel.isLoading && channel.epoch !== epoch) || offset <= channel.known) return
    channel.known = offset
    if (!channel.isLoading) void this.catchUp(channel)
  }

  private async catchUp(channel: Channel): Promise<void> {
    if (channel.isCatchingUp) return
    channel.isCatchingUp = true
    try {
      for (let failures = 0; channel.delivered < channel.known && !channel.isDropped; ) {
        try {
          channel.id ??= (await findChannel(this.sql, channel.instanceId, channel.name))?.id
          const messages = channel.place
            ? await readAfter(this.sql, channel.place, channel.delivered, channelLimits.page)
            : []
          const first = messages[0]
          if (!first || first.offset !== channel.delivered + 1) {
            // What was missed is gone: nobody here can be told that they have everything.
            this.end(channel)
            return
          }
          for (const message of messages) this.deliver(channel, message)
          failures = 0
        } catch (error) {
          if (++failures > 20) return this.end(channel)
          this.log.warn({ err: error }, 'messages could not be read; trying again')
          await Bun.sleep(Math.min(1000, 50 * failures))
        }
      }
    } finally {
      channel.isCatchingUp = false
    }
  }

  /** Asks the database where all channels stand: what nodes tell each other can be lost. */
  async reconcile(): Promise<void> {
    if (this.isReconciling) return
    this.isReconciling = true
    this.reconciledAt = performance.now()
    try {
      const durable = [...this.channels.values()].filter((c) => c.keeping === 'durable' && c.subscriptions.size > 0)
      for (let from = 0; from < durable.length; from += 2000) {
        const part = durable.slice(from, from + 2000).map(({ instanceId, name }) => ({ instanceId, name }))
        for (const { instanceId, name, epoch, head } of await findHeads(this.sql, part)) {
          const channel = this.channels.get(`${instanceId} ${name}`)
          if (channel && head > 0) this.arrive(channel, this.epochOf(epoch), head)
        }
      }
    } catch (error) {
      this.log.warn({ err: error }, 'the places of channels could not be read')
    } finally {
      this.isReconciling = false
    }
  }

  /**
   * A database that has taken another's place may have lost the end of every channel: what is known here of where they
   * stand is void, and whoever is in one comes back to another epoch.
   */
  private lookAtHistory(): Promise<void> {
    this.looking ??= this.compareHistory().finally(() => {
      this.looking = undefined
    })
    return this.looking
  }

  private async compareHistory(): Promise<void> {
    let token: string
    try {
      const line = await inTime(readDatabaseLine(this.sql), answerMs)
      // A standby does not say, nor does a service that hides it.
      if (line === undefined) return
      token = await inTime(findHistory(this.sql, line), answerMs)
    } catch (error) {
      // While it does not answer there is nothing to compare.
      this.log.debug({ err: error }, 'the history of the database could not be read')
      return
    }
    if (token === this.token) return
    const isFirst = this.token === undefined
    this.token = token
    if (isFirst) return
    this.log.error('the database is another one than before: channels begin anew')
    const end = (channel: Channel) => {
      if (channel.keeping === 'durable') this.end(channel)
    }
    for (const opening of this.opening.values()) void opening.then(end).catch(() => {})
    for (const channel of [...this.channels.values()]) end(channel)
  }

  /** As subscribers know it: of the row, and of the history that the database is on. */
  epochOf(stored: string): string {
    return this.token === undefined ? stored : `${stored}.${this.token.slice(0, 8)}`
  }

  // Subscribers

  /**
   * Reads what a subscriber missed: all of it, or nothing when it is no longer there.
   *
   * @returns the messages with which it begins; undefined: continuity is lost
   */
  async recover(channel: Channel, { epoch, offset }: Since): Promise<Held[] | undefined> {
    if (channel.keeping === 'none') return undefined
    // Whoever subscribed before there was a history has read all of it.
    if (epoch !== channel.epoch && !(epoch === '' && offset === 0 && channel.keeping === 'durable')) return undefined
    // Ahead of this node: another one told them sooner.
    if (offset > channel.delivered && channel.keeping === 'durable') {
      await this.reconcile()
      for (let i = 0; i < 50 && channel.isCatchingUp; i++) await Bun.sleep(20)
    }
    if (offset > channel.delivered) return undefined
    return this.after(channel, offset)
  }

  /** Messages after an offset that is at or before what was delivered; undefined: they are not all there. */
  async after(channel: Channel, offset: number): Promise<Held[] | undefined> {
    const held = channel.heldAfter(offset)
    if (held || channel.keeping !== 'durable' || !channel.place) return held
    const messages = await readAfter(this.sql, channel.place, offset, channelLimits.page)
    // Read while others write: the next call gives the rest.
    if (messages.some((message, i) => message.offset !== offset + 1 + i) || messages.length === 0) return undefined
    return messages.map((message) => ({ offset: message.offset, body: encodeBody(message), at: message.at }))
  }

  /** A page of what was said, oldest first. */
  async history(channel: Channel, before: number | undefined, limit: number): Promise<Held[]> {
    if (channel.keeping !== 'durable') return channel.heldBefore(before, limit)
    channel.id ??= (await findChannel(this.sql, channel.instanceId, channel.name))?.id
    if (!channel.place) return []
    const messages = await readBefore(this.sql, channel.place, before, limit)
    return messages.map((message) => ({ offset: message.offset, body: encodeBody(message), at: message.at }))
  }

  /** From here on the subscriber gets every message: it has all up to `channel.delivered`. */
  attach(channel: Channel, subscription: Subscription): void {
    subscription.state = 'live'
    subscription.peer.socket.subscribe(channel.topic)
  }

  /**
   * Counts a subscriber before it gets anything, so that the channel stays.
   *
   * @throws when the channel has ended since it was opened
   */
  enter(channel: Channel, subscription: Subscription): void {
    if (channel.isDropped) throw new Error('the channel ended while it was opened')
    subscription.channel = channel
    channel.subscriptions.add(subscription)
    if (subscription.wantsPresence) subscription.peer.socket.subscribe(channel.presenceTopic)
  }

  /** @param graceMs how long it is still shown as present */
  leave(subscription: Subscription, graceMs: number): void {
    const { channel, peer } = subscription
    subscription.state = 'gone'
    if (!channel?.subscriptions.delete(subscription)) return
    channel.touchedAt = performance.now()
    if (!peer.isClosed) {
      peer.socket.unsubscribe(channel.topic)
      peer.socket.unsubscribe(channel.presenceTopic)
    }
    if (channel.presence?.remove(peer, graceMs, performance.now())) this.presences.tell(channel)
  }

  /** Says something to everybody in a channel, here and elsewhere, that has no place in its order. */
  hint(instanceId: string, name: string, frame: { t: string; [key: string]: unknown }): void {
    const { topic } = new Channel(instanceId, name, 'none')
    const hint = { ...frame, ch: name }
    this.publish(topic, JSON.stringify(hint))
    if (this.cluster.isShared) this.cluster.publish(topic, JSON.stringify({ hint }))
  }

  /** The channels of an instance that anybody here is in. */
  *inUse(instanceId: string): Iterable<Channel> {
    for (const channel of this.channels.values())
      if (channel.instanceId === instanceId && channel.subscriptions.size > 0) yield channel
  }

  find(instanceId: string, name: string): Channel | undefined {
    return this.channels.get(`${instanceId} ${name}`)
  }

  // Once a second

  private sweep() {
    void this.lookAtHistory()
    const now = performance.now()
    const wall = Date.now()
    let bytes = 0
    for (const channel of [...this.channels.values()]) {
      if (channel.presence?.expire(now)) this.presences.tell(channel)
      channel.dropBefore(wall - channelLimits.ringMs)
      for (const [key, { at }] of channel.keys) {
        if (at > wall - channelLimits.ringMs) break
        channel.keys.delete(key)
      }
      bytes += channel.ringBytes
      const isIdle = channel.subscriptions.size === 0 && (channel.presence?.isEmpty ?? true) && !channel.isCatchingUp
      // What stands in memory alone is kept for those who come back; the rest can be read again.
      const keepMs = channel.keeping === 'memory' && channel.delivered > 0 ? channelLimits.ringMs : 20_000
      if (isIdle && now - channel.touchedAt > keepMs) this.drop(channel)
    }
    if (bytes > channelLimits.nodeRingBytes) this.forgetQuietest(bytes)
    shareKeys([...this.channels.values()], channelLimits.nodeKeys)
  }

  private forgetQuietest(bytes: number) {
    const byAge = [...this.channels.values()].sort((a, b) => a.touchedAt - b.touchedAt)
    for (const channel of byAge) {
      if (bytes <= channelLimits.nodeRingBytes) return
      bytes -= channel.ringBytes
      channel.forget()
    }
  }
}

/** With more keys than there may be, each channel that has any keeps as many as any other. */
export function shareKeys(channels: readonly Channel[], limit: number): void {
  const remembering = channels.filter(({ keys }) => keys.size > 0)
  if (remembering.reduce((sum, { keys }) => sum + keys.size, 0) <= limit) return
  const share = Math.floor(limit / remembering.length)
  for (const channel of remembering) channel.keepKeys(share)
}

const otherMessage = () => new UsherError('conflict', 'This key was used for another message.')
