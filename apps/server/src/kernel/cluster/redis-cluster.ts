import { Redis, type RedisOptions } from 'ioredis'
import { Counter, Gauge } from 'prom-client'
import type { Log } from '../log.ts'
import { metrics } from '../metrics.ts'
import type { Cluster, ClusterOptions, Subscription } from './cluster.ts'
import { SharedValues } from './shared-values.ts'
import { type Refusal, SignedFrames } from './signed-frames.ts'

type Listener = (message: Uint8Array, nodeId: string) => void
type Topic = { name: string; listeners: Set<Listener>; active: Promise<boolean> }

/** How often this node says something to itself through Redis, and how long it may hear nothing before it connects anew. */
const beatMs = 1000
const silenceMs = 3000
/** A connection that was made and does not get ready, or does not answer, is given up after so long. */
const stuckMs = 6000
/** Of another node nothing is heard for so long: it is gone, or unreachable, which is the same for those who talk to it. */
const goneAfterMs = 5000
const beatTopic = 'beat'
/** What a beat may say beside that this node lives: that it goes, or that something it said reached nobody. */
const goodbye = 'bye'
const lost = 'lost'
/** Those who are told to compare with the database are told at most so often, whoever makes them. */
const doubtMs = 500
/** How often what is shared is renewed, and Redis is asked for its time: somebody may have set its clock. */
const renewMs = 10_000
/** An answer that took longer says too little about the time. */
const promptMs = 1000
/** What waits to be taken by Redis; beyond that it is dropped, as it would be without a connection. */
const outstandingBytes = 16 * 1024 * 1024
const namesAtOnce = 500

const connectedGauge = new Gauge({
  name: 'usher_cluster_connected',
  help: 'Whether messages of other nodes arrive here',
  registers: [metrics],
})

/** `direction`: `in`, `out`, or `dropped` for what could not be said. */
const messages = new Counter({
  name: 'usher_cluster_messages_total',
  help: 'What nodes said to each other',
  labelNames: ['direction'] as const,
  registers: [metrics],
})

const refused = new Counter({
  name: 'usher_cluster_refused_total',
  help: 'Messages that no node of this installation said just now, or that this version does not know',
  labelNames: ['why'] as const,
  registers: [metrics],
})

/**
 * Nodes that talk through Redis 6 or Valkey: one connection says, another one listens. `publish` is binary, which Bun's
 * own client cannot do.
 */
export class RedisCluster implements Cluster {
  readonly isShared = true
  readonly nodeId: string

  private readonly commands: Redis
  private readonly subscriber: Redis
  private readonly prefix: string
  private readonly frames: SignedFrames
  private readonly expected: () => Iterable<string>
  private readonly log: Log
  private readonly topics = new Map<string, Topic>()
  private readonly listeners = new Set<(connected: boolean) => void>()
  private readonly goneListeners = new Set<(nodeId: string) => void>()
  private readonly doubtListeners = new Set<() => void>()
  /** The other nodes, and when each was heard last. */
  private readonly others = new Map<string, number>()
  private readonly shared: SharedValues
  private readonly timers: ReturnType<typeof setInterval>[] = []
  private isConnected = false
  private isSubscribed = false
  private wasComplete = false
  private closed = false
  /** Something was said that reached nobody: the next beat says so. */
  private hasLost = false
  private doubting: ReturnType<typeof setTimeout> | undefined
  private doubtedAt = Number.NEGATIVE_INFINITY
  private heardAt = 0
  private triedAt = performance.now()
  private outstanding = 0
  /** Redis' clock against the monotonic one of this process: nodes need one clock, whatever theirs say. */
  private clockOffsetMs: number | undefined
  private lastComplaint = 0
  private lastWarning = Number.NEGATIVE_INFINITY

  constructor({ url, scope, nodeId, keys, expected, log }: Omit<ClusterOptions, 'redisUrl'> & { url: string }) {
    this.nodeId = nodeId
    this.log = log
    this.prefix = `usher:${scope}:`
    this.expected = expected
    this.frames = new SignedFrames({ keys, nodeId, now: () => this.now() })
    const options: RedisOptions = {
      lazyConnect: true,
      // What cannot be sent now is dropped: later it would be old, and memory would grow.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      // Subscriptions are restored here, because `connected` may be true only once all of them hold.
      autoResubscribe: false,
      maxRetriesPerRequest: null,
      connectTimeout: 2000,
      retryStrategy: (times) => Math.min(1000, 50 * 2 ** Math.min(times, 5)),
      reconnectOnError: (error) => (/^READONLY|^LOADING/.test(error.message) ? 1 : false),
    }
    this.commands = new Redis(url, options)
    const isReady = () => this.isReady
    this.shared = new SharedValues({ commands: this.commands, prefix: this.prefix, frames: this.frames, isReady })
    this.subscriber = new Redis(url, options)
    this.commands.on('ready', () => this.renew())
    this.subscriber.on('ready', () => this.restore())
    this.subscriber.on('close', () => {
      this.isSubscribed = false
      this.setConnected(false)
    })
    this.commands.on('close', () => {
      this.clockOffsetMs = undefined
      this.setConnected(false)
    })
    this.subscriber.on('messageBuffer', (channel, message) => this.receive(channel, message))
    for (const connection of [this.commands, this.subscriber]) {
      connection.on('error', (error) => this.complain(error))
      connection.connect().catch(() => {})
    }
    this.timers.push(
      setInterval(() => this.beat(), beatMs),
      setInterval(() => this.renew(), renewMs),
    )
    for (const timer of this.timers) timer.unref()
  }

  get connected(): boolean {
    return this.isConnected
  }

  get complete(): boolean {
    if (!this.isConnected) return false
    const since = performance.now() - silenceMs
    for (const nodeId of this.expected())
      if (nodeId !== this.nodeId && (this.others.get(nodeId) ?? Number.NEGATIVE_INFINITY) < since) return false
    return true
  }

  publish(topic: string, message: Uint8Array | string): void {
    if (!this.isReady || this.outstanding + message.length > outstandingBytes) {
      this.hasLost = true
      messages.inc({ direction: 'dropped' })
      return
    }
    const framed = this.frames.sign(this.prefix + topic, typeof message === 'string' ? Buffer.from(message) : message)
    messages.inc({ direction: 'out' })
    this.outstanding += framed.length
    this.commands.publish(this.prefix + topic, framed).then(
      () => {
        this.outstanding -= framed.length
      },
      () => {
        this.outstanding -= framed.length
        this.hasLost = true
      },
    )
  }

  subscribe(name: string, listener: Listener): Subscription {
    let topic = this.topics.get(name)
    if (topic) topic.listeners.add(listener)
    else {
      topic = { name, listeners: new Set([listener]), active: this.enter([name]) }
      this.topics.set(name, topic)
    }
    const held = topic
    return {
      active: held.active,
      end: () => {
        held.listeners.delete(listener)
        if (held.listeners.size > 0 || this.topics.get(name) !== held) return
        this.topics.delete(name)
        if (this.subscriber.status === 'ready') this.subscriber.unsubscribe(this.prefix + name).catch(() => {})
      },
    }
  }

  onChange(listener: (connected: boolean) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  onNodeGone(listener: (nodeId: string) => void): () => void {
    this.goneListeners.add(listener)
    return () => this.goneListeners.delete(listener)
  }

  onDoubt(listener: () => void): () => void {
    this.doubtListeners.add(listener)
    return () => this.doubtListeners.delete(listener)
  }

  async count(key: string, by: number, windowMs: number) {
    if (this.commands.status !== 'ready') return undefined
    const name = `${this.prefix}count:${key}`
    try {
      // One transaction: a counter without an end would refuse somebody for ever.
      const answers = await this.commands
        .multi()
        .set(name, 0, 'PX', Math.ceil(windowMs), 'NX')
        .incrby(name, by)
        .pttl(name)
        .exec()
      const [total, leftMs] = [answers?.[1]?.[1], answers?.[2]?.[1]]
      return typeof total === 'number' && typeof leftMs === 'number' ? { total, leftMs } : undefined
    } catch {
      return undefined
    }
  }

  share(key: string, value: Uint8Array | string): void {
    this.shared.set(key, value)
  }

  withdraw(key: string): void {
    this.shared.withdraw(key)
  }

  readShared(key: string): Promise<Map<string, Uint8Array>> {
    return this.shared.read(key)
  }

  async close(): Promise<void> {
    this.closed = true
    for (const timer of this.timers) clearInterval(timer)
    clearTimeout(this.doubting)
    if (this.isReady) {
      const pipeline = this.commands.pipeline()
      const place = this.prefix + beatTopic
      pipeline.publish(place, this.frames.sign(place, Buffer.from(goodbye)))
      this.shared.withdrawAll(pipeline)
      await Promise.race([pipeline.exec().catch(() => {}), Bun.sleep(500)])
    }
    this.commands.disconnect()
    this.subscriber.disconnect()
  }

  private now(): number {
    return performance.now() + (this.clockOffsetMs ?? 0)
  }

  /** Whether it can say something, and say when. */
  private get isReady(): boolean {
    return this.commands.status === 'ready' && this.clockOffsetMs !== undefined
  }

  private receive(channel: Buffer, message: Buffer): void {
    const place = channel.toString()
    const name = place.slice(this.prefix.length)
    // What this node said itself is only of use as the sign that it can be heard.
    if (name !== beatTopic && SignedFrames.senderOf(message) === this.nodeId) return
    const heard = this.clockOffsetMs === undefined ? 'old' : this.frames.open(place, message)
    if (typeof heard === 'string') {
      this.refuse(heard)
      return
    }
    const { nodeId, body } = heard
    const now = performance.now()
    if (nodeId === this.nodeId) {
      this.heardAt = now
      return
    }
    this.others.set(nodeId, now)
    messages.inc({ direction: 'in' })
    if (name === beatTopic) {
      const said = body.toString('latin1')
      if (said === goodbye) this.forget(nodeId)
      else if (said === lost) this.doubt()
    }
    for (const listener of this.topics.get(name)?.listeners ?? []) {
      try {
        listener(body, nodeId)
      } catch (error) {
        this.log.error({ err: error }, 'a message of another node could not be handled')
      }
    }
  }

  /** Not listened to. Something may have been said with it all the same, and the database knows what. */
  private refuse(why: Refusal): void {
    refused.inc({ why })
    this.doubt()
    if (this.closed || (why !== 'signature' && why !== 'version') || performance.now() - this.lastWarning < 10_000)
      return
    this.lastWarning = performance.now()
    if (why === 'version')
      this.log.info('another node speaks another version; what it writes is read from the database')
    else
      this.log.warn(
        'a message in Redis is not signed with USHER_SECRET: a node has another one, or somebody else wrote it',
      )
  }

  /** Makes those who keep something compare it with the database: now, but not more often than they can. */
  private doubt(): void {
    if (this.closed) return
    this.doubting ??= setTimeout(
      () => {
        this.doubting = undefined
        this.doubtedAt = performance.now()
        for (const listener of this.doubtListeners) listener()
      },
      Math.max(0, this.doubtedAt + doubtMs - performance.now()),
    )
  }

  private forget(nodeId: string): void {
    if (!this.others.delete(nodeId)) return
    for (const listener of this.goneListeners) listener(nodeId)
  }

  /** Only what was sent and heard again proves that both connections live: a proxy can hold a dead one open for hours. */
  private beat(): void {
    // Nobody is heard without a connection, and nobody is gone because of that.
    if (this.isConnected)
      for (const [nodeId, at] of this.others) if (performance.now() - at > goneAfterMs) this.forget(nodeId)
    if (this.isConnected && performance.now() - this.heardAt > silenceMs) {
      this.complain(new Error('Redis is silent'))
      this.setConnected(false)
      this.commands.disconnect(true)
      this.subscriber.disconnect(true)
    } else this.sayThatItLives()
    if (!this.isConnected && performance.now() - this.triedAt > stuckMs) {
      this.triedAt = performance.now()
      for (const connection of [this.commands, this.subscriber])
        if (connection.status === 'connect' || connection.status === 'ready') connection.disconnect(true)
    }
    this.frames.forgetOld()
    // Somebody is not heard, or is heard again: what they wrote meanwhile nobody rang for.
    if (this.wasComplete !== this.complete) this.doubt()
    this.wasComplete = this.complete
  }

  private sayThatItLives(): void {
    if (!this.isReady) return
    const said = this.hasLost ? lost : ''
    this.hasLost = false
    this.publish(beatTopic, said)
  }

  private async enter(names: string[]): Promise<boolean> {
    if (this.subscriber.status !== 'ready') return false
    try {
      await this.subscriber.subscribe(...names.map((name) => this.prefix + name))
      return true
    } catch {
      // The connection is gone: `restore` subscribes when it is back.
      return false
    }
  }

  private async restore(): Promise<void> {
    const names = [beatTopic, ...this.topics.keys()]
    for (let from = 0; from < names.length; from += namesAtOnce)
      if (!(await this.enter(names.slice(from, from + namesAtOnce)))) return
    this.isSubscribed = true
    this.begin()
  }

  /** Once this node can hear and be heard. */
  private begin(): void {
    if (!this.isSubscribed || this.clockOffsetMs === undefined || this.isConnected) return
    const now = performance.now()
    this.heardAt = now
    for (const nodeId of this.others.keys()) this.others.set(nodeId, now)
    this.sayThatItLives()
    this.setConnected(true)
  }

  private setConnected(connected: boolean): void {
    if (this.closed || this.isConnected === connected) return
    this.isConnected = connected
    this.triedAt = performance.now()
    connectedGauge.set(connected ? 1 : 0)
    if (connected) this.log.info('connected to Redis')
    for (const listener of this.listeners) listener(connected)
  }

  private renew(): void {
    this.measureClock().then(
      () => this.shared.renew(),
      () => {},
    )
  }

  private async measureClock(): Promise<void> {
    const askedAt = performance.now()
    const [seconds, micros] = await this.commands.time()
    const now = performance.now()
    if (this.clockOffsetMs !== undefined && now - askedAt > promptMs) return
    this.clockOffsetMs = Number(seconds) * 1000 + Number(micros) / 1000 - (askedAt + now) / 2
    this.begin()
  }

  /** Once in a while: a Redis that is away is tried again many times a minute. */
  private complain(error: Error): void {
    if (this.closed || Date.now() - this.lastComplaint < 10_000) return
    this.lastComplaint = Date.now()
    // Its message alone: an error of the client may hold the command, and the URL has a password.
    this.log.warn({ why: error.message }, 'Redis does not answer; what other nodes do is heard of later')
  }
}
