import type { ChainableCommander, Redis } from 'ioredis'
import type { SignedFrames } from './signed-frames.ts'

/** What is shared lives this long after a node that no longer renews it. */
const ttlMs = 30_000

type Options = {
  commands: Redis
  /** Before the names of everything of this installation. */
  prefix: string
  frames: SignedFrames
  /** Whether there is a connection, and the time by the clock of all nodes. */
  isReady: () => boolean
}

/**
 * Values of each node where the others read them, signed and with an end: a hash for each key, with a field for each
 * node. What this node shares is held here too, and put there again when Redis comes back empty.
 */
export class SharedValues {
  private readonly own = new Map<string, Uint8Array | string>()
  private readonly options: Options

  constructor(options: Options) {
    this.options = options
  }

  set(key: string, value: Uint8Array | string): void {
    this.own.set(key, value)
    this.write([[key, value]])
  }

  withdraw(key: string): void {
    const { commands, frames } = this.options
    if (this.own.delete(key) && commands.status === 'ready')
      commands.hdel(this.nameOf(key), frames.nodeId).catch(() => {})
  }

  /** Takes everything back, with the other last words of a node. */
  withdrawAll(pipeline: ChainableCommander): void {
    for (const key of this.own.keys()) pipeline.hdel(this.nameOf(key), this.options.frames.nodeId)
  }

  /** What the others share under a key, by node; empty when there is no answer. */
  async read(key: string): Promise<Map<string, Uint8Array>> {
    const { commands, frames } = this.options
    const found = new Map<string, Uint8Array>()
    if (commands.status !== 'ready') return found
    const name = this.nameOf(key)
    try {
      for (const [nodeId, stored] of Object.entries(await commands.hgetallBuffer(name))) {
        const value = nodeId === frames.nodeId ? undefined : frames.openValue(name, nodeId, stored)
        if (value) found.set(nodeId, value)
      }
    } catch {
      // No answer: nobody is known.
    }
    return found
  }

  renew(): void {
    this.write([...this.own])
  }

  private write(entries: [string, Uint8Array | string][]): void {
    const { commands, frames, isReady } = this.options
    if (!isReady() || entries.length === 0) return
    const pipeline = commands.pipeline()
    for (const [key, value] of entries) {
      const name = this.nameOf(key)
      const bytes = typeof value === 'string' ? Buffer.from(value) : value
      pipeline.hset(name, frames.nodeId, frames.signValue(name, ttlMs, bytes))
      pipeline.pexpire(name, ttlMs)
    }
    pipeline.exec().catch(() => {})
  }

  private nameOf(key: string): string {
    return `${this.options.prefix}shared:${key}`
  }
}
