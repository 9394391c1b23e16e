import type { Log } from '../log.ts'
import { RedisCluster } from './redis-cluster.ts'

export type Subscription = {
  /** Resolves once messages arrive; with false where there is no connection now: then `onChange` tells when. */
  active: Promise<boolean>
  end: () => void
}

/**
 * What nodes on one database say to each other. A doorbell and never the truth: whatever is lost here can be read from
 * PostgreSQL, only later.
 *
 * Nobody hears themselves: `publish` reaches the other nodes, and what concerns this one is done here directly, so that
 * nothing on one node ever depends on the connection.
 */
export interface Cluster {
  /** Names this process, anew at each start. */
  readonly nodeId: string
  /** Whether there can be other nodes. */
  readonly isShared: boolean
  /** Whether what others publish arrives here now, as far as the last seconds tell. */
  readonly connected: boolean
  /** Whether, beside that, each node that lives was heard in the last seconds. */
  readonly complete: boolean
  /** At most once: lost while there is no connection, and with a connection that breaks. */
  publish(topic: string, message: Uint8Array | string): void
  /** @param listener gets a message of another node, in the order in which that node published */
  subscribe(topic: string, listener: (message: Uint8Array, nodeId: string) => void): Subscription
  /** Tells when `connected` changes. Once it is true again every subscription holds, and what was said meanwhile is lost. */
  onChange(listener: (connected: boolean) => void): () => void
  /**
   * Tells that something may have been said which this node did not hear, or not understand: compare with the database.
   * At most twice a second.
   */
  onDoubt(listener: () => void): () => void
  /** Tells of a node that said goodbye, or of which nothing was heard for 5 s; also of one that comes back later. */
  onNodeGone(listener: (nodeId: string) => void): () => void
  /**
   * Adds to a counter of all nodes that begins anew a while after its first count.
   *
   * @returns undefined when there is no answer; also for a single node, which counts by itself
   */
  count(key: string, by: number, windowMs: number): Promise<{ total: number; leftMs: number } | undefined>
  /**
   * Keeps a value of this node where others read it, until `withdraw`, or until 30 s after this node died. It is put
   * there again when the store comes back empty.
   */
  share(key: string, value: Uint8Array | string): void
  withdraw(key: string): void
  /** What the other nodes share under a key, by node; empty when there is no answer. */
  readShared(key: string): Promise<Map<string, Uint8Array>>
  close(): Promise<void>
}

export type ClusterOptions = {
  redisUrl: string | undefined
  /** Tells installations that share a Redis from one another: the same for all nodes on one database, and no others. */
  scope: string
  nodeId: string
  /** What nodes sign with, the same for all of them: the first signs, each of them is believed. */
  keys: readonly Buffer[]
  /** Names the nodes that live and talk, as the database knows them. */
  expected: () => Iterable<string>
  log: Log
}

/** Nodes that find each other through Redis or Valkey; without a URL this process alone. */
export function openCluster({ redisUrl, ...options }: ClusterOptions): Cluster {
  return redisUrl === undefined ? new LocalCluster(options.nodeId) : new RedisCluster({ url: redisUrl, ...options })
}

/** One node: there is nobody to talk to. */
export class LocalCluster implements Cluster {
  readonly isShared = false
  readonly connected = true
  readonly complete = true
  readonly nodeId: string

  constructor(nodeId: string) {
    this.nodeId = nodeId
  }

  publish(): void {}

  subscribe(): Subscription {
    return { active: Promise.resolve(true), end: () => {} }
  }

  onChange(): () => void {
    return () => {}
  }

  onDoubt(): () => void {
    return () => {}
  }

  onNodeGone(): () => void {
    return () => {}
  }

  async count(): Promise<undefined> {}

  share(): void {}

  withdraw(): void {}

  async readShared(): Promise<Map<string, Uint8Array>> {
    return new Map()
  }

  async close(): Promise<void> {}
}
