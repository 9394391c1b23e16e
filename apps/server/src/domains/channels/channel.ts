import { channelLimits } from './limits.ts'
import { encodeBody, type Message, messageFrame } from './message.ts'
import type { Subscription } from './peer.ts'
import type { Presence } from './presence.ts'

/** A message that stays in memory, encoded. */
export type Held = { offset: number; body: string; at: number }

/** Where a channel's messages are kept. `none`: nowhere. */
export type Keeping = 'none' | 'memory' | 'durable'

/** One channel on this node, while anybody here is in it and a while longer. */
export class Channel {
  readonly instanceId: string
  readonly name: string
  readonly keeping: Keeping
  /** Id of its row; undefined: it has none. */
  id: number | undefined = undefined
  /** Which history the offsets belong to; empty: none has begun. */
  epoch = ''
  /** Offset of the last message that subscribers of this node have. */
  delivered = 0
  /** Highest offset that is known of; above `delivered` while the messages between are being read. */
  known = 0
  isCatchingUp = false
  /** Whoever comes now gets another one. */
  isDropped = false
  /** It is being found out where it stands. */
  isLoading = true
  readonly subscriptions = new Set<Subscription>()
  presence: Presence | undefined = undefined
  /** Other nodes have to be told who is here. */
  announcePresence = false
  /** What others on other nodes say about it. */
  readonly ends: (() => void)[] = []
  /** Milliseconds of the monotonic clock at which something last happened. */
  touchedAt = performance.now()
  /** Acknowledged messages by their key, the oldest first, where nothing else remembers them. */
  readonly keys = new Map<string, { offset: number; at: number; digest: string }>()

  private ring: Held[] = []
  ringBytes = 0

  constructor(instanceId: string, name: string, keeping: Keeping) {
    this.instanceId = instanceId
    this.name = name
    this.keeping = keeping
  }

  /** Its row, once it is known that it has one. */
  get place(): { id: number; instanceId: string; name: string } | undefined {
    const { id, instanceId, name } = this
    return id === undefined ? undefined : { id, instanceId, name }
  }

  get topic(): string {
    return `channel ${this.instanceId} ${this.name}`
  }

  get presenceTopic(): string {
    return `presence ${this.instanceId} ${this.name}`
  }

  frameOf({ offset, body }: Held): string {
    return messageFrame(this.name, this.epoch, offset, body)
  }

  hold(message: Message): Held {
    const held = { offset: message.offset, body: encodeBody(message), at: message.at }
    this.ring.push(held)
    this.ringBytes += held.body.length
    while (this.ring.length > channelLimits.ringMessages || this.ringBytes > channelLimits.ringBytes) this.dropOldest()
    return held
  }

  /** Forgets what is old. @param before milliseconds since 1970 */
  dropBefore(before: number): void {
    while (this.ring[0] && this.ring[0].at < before) this.dropOldest()
  }

  forget(): void {
    this.ring = []
    this.ringBytes = 0
  }

  /** Knows a message again by its key. Whoever says very much makes this forget what was said first. */
  remember(key: string, said: { offset: number; at: number; digest: string }): void {
    this.keys.set(key, said)
    this.keepKeys(channelLimits.keys)
  }

  /** Forgets the oldest keys but so many. */
  keepKeys(limit: number): void {
    for (const key of this.keys.keys()) {
      if (this.keys.size <= limit) return
      this.keys.delete(key)
    }
  }

  private dropOldest() {
    this.ringBytes -= this.ring.shift()?.body.length ?? 0
  }

  /** Everything after an offset, oldest first; undefined when not all of it is in memory. */
  heldAfter(offset: number): Held[] | undefined {
    if (offset === this.delivered) return []
    const first = this.ring[0]
    if (offset > this.delivered || !first || first.offset > offset + 1) return undefined
    return this.ring.slice(offset + 1 - first.offset)
  }

  /** What is in memory before an offset, oldest first. */
  heldBefore(before: number | undefined, limit: number): Held[] {
    const end = before === undefined ? this.ring.length : this.ring.findIndex((held) => held.offset >= before)
    return this.ring.slice(0, end < 0 ? this.ring.length : end).slice(-limit)
  }
}
