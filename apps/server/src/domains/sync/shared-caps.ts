import type { Cluster } from '../../kernel/cluster/index.ts'
import type { Log } from '../../kernel/log.ts'
import type { Connection } from './connection.ts'
import type { SyncLimits } from './limits.ts'

type Over = (connection: Connection, message: string) => void

/**
 * How many connections a person and an organization have on all nodes together. Each node says how many it has; who
 * connects is let in first and judged a moment later, so that nobody waits for the answer. Without one each node's own
 * limit holds.
 */
export class SharedCaps {
  private readonly counts = new Map<string, number>()
  /** Where each was counted: its credential may be another one when it leaves. */
  private readonly counted = new WeakMap<Connection, string[]>()
  private readonly cluster: Cluster
  private readonly limits: SyncLimits
  private readonly over: Over
  private readonly log: Log

  constructor(cluster: Cluster, limits: SyncLimits, over: Over, log: Log) {
    this.cluster = cluster
    this.limits = limits
    this.over = over
    this.log = log
  }

  entered(connection: Connection) {
    const caps = this.capsOf(connection)
    this.counted.set(
      connection,
      caps.map(({ key }) => key),
    )
    for (const { key, limit, whose } of caps) {
      const own = (this.counts.get(key) ?? 0) + 1
      this.counts.set(key, own)
      this.cluster.share(key, String(own))
      this.judge(connection, key, limit, whose).catch((error) =>
        this.log.warn({ err: error }, 'connections on other nodes could not be counted'),
      )
    }
  }

  left(connection: Connection) {
    const keys = this.counted.get(connection) ?? []
    this.counted.delete(connection)
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

  private async judge(connection: Connection, key: string, limit: number, whose: string): Promise<void> {
    let total = this.counts.get(key) ?? 0
    for (const value of (await this.cluster.readShared(key)).values())
      total += Number(Buffer.from(value).toString()) || 0
    if (total > limit) this.over(connection, `too many connections of this ${whose}`)
  }

  private capsOf({ principal }: Connection) {
    const { instanceId, userId, organizationId } = principal
    const { connectionsPerUser, connectionsPerOrganization } = this.limits
    return [
      ...(userId ? [{ key: `sockets:${instanceId}:${userId}`, limit: connectionsPerUser, whose: 'user' }] : []),
      ...(organizationId
        ? [{ key: `sockets:${instanceId}:${organizationId}`, limit: connectionsPerOrganization, whose: 'organization' }]
        : []),
    ]
  }
}
