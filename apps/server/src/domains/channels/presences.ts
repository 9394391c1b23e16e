import type { Cluster } from '../../kernel/cluster/index.ts'
import type { Log } from '../../kernel/log.ts'
import type { Channel } from './channel.ts'
import { channelLimits } from './limits.ts'
import { Presence } from './presence.ts'

type Options = {
  cluster: Cluster
  log: Log
  channels: () => Iterable<Channel>
  publish: (topic: string, text: string) => unknown
}

const readAllMs = 10_000

/** Tells everybody who is in the channels of this node, and the other nodes who is here. */
export class Presences {
  private readonly cluster: Cluster
  private readonly log: Log
  private readonly channels: () => Iterable<Channel>
  private readonly publish: (topic: string, text: string) => unknown
  private readonly stale = new Set<Channel>()
  private readonly reading: ReturnType<typeof setInterval>
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor({ cluster, log, channels, publish }: Options) {
    this.cluster = cluster
    this.log = log
    this.channels = channels
    this.publish = publish
    this.reading = setInterval(() => void this.readAll(), readAllMs)
    this.reading.unref()
  }

  stop(): void {
    clearInterval(this.reading)
    clearTimeout(this.timer)
  }

  /** Nobody of this node is in a channel any more. */
  drop(channel: Channel): void {
    if (channel.presence && this.cluster.isShared) {
      this.cluster.withdraw(channel.presenceTopic)
      this.cluster.publish(channel.presenceTopic, '[]')
    }
    this.stale.delete(channel)
  }

  /** The presence of a channel, which begins with whoever asks for it first. */
  of(channel: Channel): Presence {
    if (!channel.presence) {
      channel.presence = new Presence()
      if (this.cluster.isShared) {
        const heard = this.cluster.subscribe(channel.presenceTopic, (bytes, nodeId) => {
          channel.presence?.setRemote(nodeId, JSON.parse(Buffer.from(bytes).toString('utf8')))
          this.tell(channel, false)
        })
        channel.ends.push(heard.end)
        void heard.active.then(() => this.read(channel))
      }
    }
    return channel.presence
  }

  /** Tells what changed, together with what changes in the next moment. @param isOwn whether others have to know */
  tell(channel: Channel, isOwn = true): void {
    this.stale.add(channel)
    if (isOwn && this.cluster.isShared) channel.announcePresence = true
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      const channels = [...this.stale]
      this.stale.clear()
      for (const each of channels) this.tellNow(each)
    }, channelLimits.presenceTickMs)
  }

  private tellNow(channel: Channel) {
    if (!channel.presence) return
    if (channel.announcePresence) {
      channel.announcePresence = false
      // Once for all that changed: it takes as long as there are members, however few of them moved.
      const members = JSON.stringify(channel.presence.share())
      if (members === '[]') this.cluster.withdraw(channel.presenceTopic)
      else this.cluster.share(channel.presenceTopic, members)
      this.cluster.publish(channel.presenceTopic, members)
    }
    const change = channel.presence.change()
    if (!change) return
    this.publish(channel.presenceTopic, JSON.stringify({ t: 'presence', ch: channel.name, ...change }))
  }

  /** Nobody is there through a node that is gone. */
  forgetNode(nodeId: string) {
    for (const channel of this.channels()) {
      channel.presence?.setRemote(nodeId, [])
      if (channel.presence) this.tell(channel, false)
    }
  }

  private async readAll(): Promise<void> {
    if (!this.cluster.isShared) return
    for (const channel of [...this.channels()]) if (channel.presence) await this.read(channel)
  }

  /** What other nodes share: it is how those that died are noticed. */
  private async read(channel: Channel): Promise<void> {
    const shared = await this.cluster.readShared(channel.presenceTopic)
    for (const [nodeId, bytes] of shared) {
      try {
        channel.presence?.setRemote(nodeId, JSON.parse(Buffer.from(bytes).toString('utf8')))
      } catch (error) {
        // Of another version, or of whoever writes to that Redis: no reason to end this process.
        this.log.warn({ err: error, nodeId }, 'what another node shares could not be read')
      }
    }
    if (this.cluster.connected) channel.presence?.keepRemotes(new Set(shared.keys()))
    this.tell(channel, false)
  }
}
