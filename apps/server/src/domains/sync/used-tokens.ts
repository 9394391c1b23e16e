import { createHash } from 'node:crypto'
import type { Cluster } from '../../kernel/cluster/index.ts'

/** What is kept at most; beyond it the oldest go, which is sooner than their end only in a flood. */
const maxKept = 200_000

/** Remembers tokens that may be used once, until they end by themselves. All nodes together, as long as they hear each other. */
export class UsedTokens {
  private readonly ends = new Map<string, number>()
  private readonly cluster: Pick<Cluster, 'count'> | undefined

  constructor(cluster?: Pick<Cluster, 'count'>) {
    this.cluster = cluster
  }

  /**
   * @param scope whose token it is: ids of different issuers may be equal
   * @param endsAt milliseconds since 1970 after which the token is refused anyway
   * @returns whether this was the first use
   */
  async spend(scope: string, jti: string, endsAt: number, now: number): Promise<boolean> {
    const key = createHash('sha256').update(`${scope} ${jti}`).digest('base64url')
    // Here first and at once: two uses at the same moment on one node never both pass.
    if ((this.ends.get(key) ?? 0) > now) return false
    this.forget(now)
    this.ends.set(key, endsAt)
    const counted = await this.cluster?.count(`sync-token:${key}`, 1, Math.max(1000, endsAt - now))
    return counted === undefined || counted.total === 1
  }

  private forget(now: number) {
    for (const [key, end] of this.ends) {
      if (end > now && this.ends.size < maxKept) break
      this.ends.delete(key)
    }
  }
}
