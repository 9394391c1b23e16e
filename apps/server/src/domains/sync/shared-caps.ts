import type { Cluster } from '../../kernel/cluster/index.ts'
import type { Log } from '../../kernel/log.ts'
import type { Connection } from './connection.ts'
import type { SyncLimits } from './limits.ts'

/** One of the things that a connection counts for, on all nodes together. */
export type Counted = { key: string; limit: number; whose: string }

/**
 * How many connections somebody has on all nodes together. Each node says how many it has; who connects is let in first
 * and judged a moment later, so that nobody waits for the answer. Without one each node's own limit holds.
 */
export class SharedCounts<Holder extends object> {
  private readonly counts = new Map<string, number>()
  /** Where each was counted: its credential may be another one when it leaves. */
  private readonly counted = new WeakMap<Holder, string[]>()
  private readonly cluster: Cluster
  private readonly countedFor: (holder: Holder) => Counted[]
  private readonly over: (holder: Holder, message: string) => void
  private readonly log: Log

  constructor(
    cluster: Cluster,
    countedFor: (holder: Holder) => Counted[],
    over: (holder: Holder, message: string) => void,
    log: Log,
  ) {
    this.cluster = cluster
    this.countedFor = countedFor
    this.over = over
    this.log = log
  }

  entered(holder: Holder) {
    const caps = this.countedFor(holder)
    this.counted.set(
      holder,
      caps.map(({ key }) => key),
    )
    for (const cap of caps) {
      const own = (this.counts.get(cap.key) ?? 0) + 1
      this.counts.set(cap.key, own)
      this.cluster.share(cap.key, String(own))
      this.judge(holder, cap).catch((error) =>
        this.log.warn({ err: error }, 'connections on other nodes could not be counted'),
      )
    }
  }

  left(holder: Holder) {
    const keys = this.counted.get(holder) ?? []
    this.counted.delete(holder)
    for (const key of keys) {
      const own = (this.counts.get(key) ?? 1) - 1
      if (own > 0) {
        this.counts.set(key, own)
        this.cluster.share(key, String(own))
      } else {
        this.counts.delete(key)
        this.cluster.withdraw(key)
      }
    }
  }

  private async judge(holder: Holder, { key, limit, whose }: Counted): Promise<void> {
    let total = this.counts.get(key) ?? 0
    for (const value of (await this.cluster.readShared(key)).values())
      total += Number(Buffer.from(value).toString()) || 0
    if (total > limit) this.over(holder, `too many connections of this ${whose}`)
  }
}

/** Connections to documents: of a person, and of an organization. */
export class SharedCaps extends SharedCounts<Connection> {
  constructor(
    cluster: Cluster,
    { connectionsPerUser, connectionsPerOrganization }: SyncLimits,
    over: (connection: Connection, message: string) => void,
    log: Log,
  ) {
    const countedFor = ({ principal: { instanceId, userId, organizationId } }: Connection) => [
      ...(userId ? [{ key: `sockets:${instanceId}:${userId}`, limit: connectionsPerUser, whose: 'user' }] : []),
      ...(organizationId
        ? [{ key: `sockets:${instanceId}:${organizationId}`, limit: connectionsPerOrganization, whose: 'organization' }]
        : []),
    ]
    super(cluster, countedFor, over, log)
  }
}
