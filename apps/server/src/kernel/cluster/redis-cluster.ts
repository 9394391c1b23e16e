import { Redis, type RedisOptions } from 'ioredis'
import { Counter, Gauge } from 'prom-client'
import type { Log } from '../log.ts'
import { metrics } from '../metrics.ts'
import type { Cluster, Subscription } from './cluster.ts'

type Listener = (message: Uint8Array, nodeId: string) => void
type Topic = { name: string; listeners: Set<Listener>; active: Promise<boolean> }

/** How often this node says something to itself through Redis, and how long it may hear nothing before it connects anew. */
const beatMs = 1000
const silenceMs = 3000
/** Of another node nothing is heard for so long: it is gone, or unreachable, which is the same for those who talk to it. */
const goneAfterMs = 5000
const beatTopic = 'beat'
const goodbye = 'bye'
/** What is shared lives this long after a node that no longer renews it. */
const sharedTtlMs = 30_000
const renewMs = 10_000
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
  private readonly sender: Buffer
  private readonly log: Log
  private readonly topics = new Map<string, Topic>()
  private readonly listeners = new Set<(connected: boolean) => void>()
  private readonly goneListeners = new Set<(nodeId: string) => void>()
  /** The other nodes, and when each was heard last. */
  private readonly others = new Map<string, number>()
  private readonly shared = new Map<string, Uint8Array | string>()
  private readonly timers: ReturnType<typeof setInterval>[] = []
  private isConnected = false
  private closed = false
  private heardAt = 0
  private outstanding = 0
  /** Redis' clock against this one: what nodes share expires by one clock, whatever theirs say. */
  private clockOffsetMs = 0
  private lastComplaint = 0

  constructor({ url, scope, nodeId, log }: { url: string; scope: string; nodeId: string; log: Log }) {
    this.nodeId = nodeId
    this.log = log
    this.prefix = `usher:${scope}:`
    this.sender = Buffer.concat([Uint8Array.of(nodeId.length), Buffer.from(nodeId, 'latin1')])
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
    this.subscriber = new Redis(url, options)
    this.commands.on('ready', () => this.measureClock().catch(() => {}))
    this.subscriber.on('ready', () => this.restore())
    this.subscriber.on('close', () => this.setConnected(false))
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

  publish(topic: string, message: Uint8Array | string): void {
    if (this.commands.status !== 'ready') {
      messages.inc({ direction: 'dropped' })
      return
    }
    const framed = Buffer.concat([this.sender, typeof message === 'string' ? Buffer.from(message) : message])
    if (this.outstanding + framed.length > outstandingBytes) {
      messages.inc({ direction: 'dropped' })
      return
    }
    messages.inc({ direction: 'out' })
    this.outstanding += framed.length
    const done = () => {
      this.outstanding -= framed.length
    }
    this.commands.publish(this.prefix + topic, framed).then(done, done)
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
    this.write([[key, value]])
  }

  withdraw(key: string): void {
    if (this.shared.delete(key) && this.commands.status === 'ready')
      this.commands.hdel(`${this.prefix}shared:${key}`, this.nodeId).catch(() => {})
  }

  async readShared(key: string): Promise<Map<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>()
    if (this.commands.status !== 'ready') return found
    const now = Date.now() + this.clockOffsetMs
    try {
      for (const [nodeId, value] of Object.entries(await this.commands.hgetallBuffer(`${this.prefix}shared:${key}`)))
        if (nodeId !== this.nodeId && value.readDoubleBE(0) > now) found.set(nodeId, value.subarray(8))
    } catch {
      // No answer: nobody is known.
    }
    return found
  }

  async close(): Promise<void> {
    this.closed = true
    for (const timer of this.timers) clearInterval(timer)
    if (this.commands.status === 'ready') {
      const pipeline = this.commands.pipeline()
      pipeline.publish(this.prefix + beatTopic, Buffer.concat([this.sender, Buffer.from(goodbye)]))
      for (const key of this.shared.keys()) pipeline.hdel(`${this.prefix}shared:${key}`, this.nodeId)
      await Promise.race([pipeline.exec().catch(() => {}), Bun.sleep(500)])
    }
    this.commands.disconnect()
    this.subscriber.disconnect()
  }

  private receive(channel: Buffer, message: Buffer): void {
    const end = 1 + (message[0] ?? 0)
    const nodeId = message.toString('latin1', 1, end)
    const name = channel.toString().slice(this.prefix.length)
    const now = performance.now()
    if (nodeId === this.nodeId) {
      if (name === beatTopic) this.heardAt = now
      return
    }
    this.others.set(nodeId, now)
    messages.inc({ direction: 'in' })
    if (name === beatTopic && message.length > end) this.forget(nodeId)
    for (const listener of this.topics.get(name)?.listeners ?? []) {
      try {
        listener(message.subarray(end), nodeId)
      } catch (error) {
        this.log.error({ err: error }, 'a message of another node could not be handled')
      }
    }
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
    } else this.publish(beatTopic, '')
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
    const now = performance.now()
    this.heardAt = now
    for (const nodeId of this.others.keys()) this.others.set(nodeId, now)
    this.setConnected(true)
  }

  private setConnected(connected: boolean): void {
    if (this.closed || this.isConnected === connected) return
    this.isConnected = connected
    connectedGauge.set(connected ? 1 : 0)
    if (connected) this.log.info('connected to Redis')
    for (const listener of this.listeners) listener(connected)
  }

  private async measureClock(): Promise<void> {
    const [seconds, micros] = await this.commands.time()
    this.clockOffsetMs = Number(seconds) * 1000 + Number(micros) / 1000 - Date.now()
    this.renew()
  }

  private renew(): void {
    this.write([...this.shared])
  }

  private write(entries: [string, Uint8Array | string][]): void {
    if (this.commands.status !== 'ready' || entries.length === 0) return
    const until = Buffer.alloc(8)
    until.writeDoubleBE(Date.now() + this.clockOffsetMs + sharedTtlMs)
    const pipeline = this.commands.pipeline()
    for (const [key, value] of entries) {
      const name = `${this.prefix}shared:${key}`
      pipeline.hset(name, this.nodeId, Buffer.concat([until, typeof value === 'string' ? Buffer.from(value) : value]))
      pipeline.pexpire(name, sharedTtlMs)
    }
    pipeline.exec().catch(() => {})
  }

  /** Once in a while: a Redis that is away is tried again many times a minute. */
  private complain(error: Error): void {
    if (this.closed || Date.now() - this.lastComplaint < 10_000) return
    this.lastComplaint = Date.now()
    // Its message alone: an error of the client may hold the command, and the URL has a password.
    this.log.warn({ why: error.message }, 'Redis does not answer; what other nodes do is heard of later')
  }
}
