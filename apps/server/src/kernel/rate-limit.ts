import { createHash } from 'node:crypto'
import type { Cluster } from './cluster/index.ts'
import { UsherError } from './errors.ts'

type Bucket = { windowStart: number; count: number }

/** Buckets held at most; beyond that the oldest go, so that a flood of made-up keys costs a bounded amount of memory. */
const maxBuckets = 100_000

const stores = new WeakMap<object, Map<string, Bucket>>()

const clusters = new WeakMap<object, Cluster>()

/** From now on what is counted in this scope is counted together with the other nodes. */
export function countTogether(scope: object, cluster: Cluster): void {
  if (cluster.isShared) clusters.set(scope, cluster)
}

export type Limit = { max: number; windowMs: number }

/**
 * Counts one attempt and refuses it when there were too many in the running window.
 *
 * Nobody waits for the other nodes: what they counted is known after the first attempt here, so that each further node
 * lets one attempt more through, and without Redis each counts for itself. What guards an account exactly, attempts at a
 * code and lockouts, is counted in the database.
 *
 * @param scope what the counters live and die with, e.g. the database of a server
 * @param key who or what is counted; the instance's id should be part of it
 * @throws {UsherError} `too_many_requests` with the seconds until the window ends
 */
export function countAttempt(scope: object, key: string, limit: Limit, now: Date): void {
  const store = stores.get(scope) ?? new Map<string, Bucket>()
  stores.set(scope, store)
  const time = now.getTime()
  let bucket = store.get(key)
  if (!bucket || time - bucket.windowStart >= limit.windowMs) {
    store.delete(key)
    bucket = { windowStart: time, count: 0 }
    store.set(key, bucket)
    const [oldest] = store.keys()
    if (store.size > maxBuckets && oldest !== undefined) store.delete(oldest)
  }
  bucket.count += 1
  if (bucket.count <= limit.max) {
    shareCount(scope, key, bucket, limit, time)
    return
  }
  const retryAfterSeconds = Math.max(1, Math.ceil((bucket.windowStart + limit.windowMs - time) / 1000))
  throw new UsherError('too_many_requests', 'Too many requests. Please try again in a bit.', { retryAfterSeconds })
}

function shareCount(scope: object, key: string, bucket: Bucket, { windowMs }: Limit, time: number): void {
  // A digest: keys hold addresses of people, and Redis need not know them.
  const digest = () => createHash('sha256').update(key).digest('base64url')
  clusters
    .get(scope)
    ?.count(`limit:${digest()}`, 1, windowMs)
    .then((all) => {
      if (!all || all.total <= bucket.count) return
      bucket.count = all.total
      bucket.windowStart = time + all.leftMs - windowMs
    })
}

/** What is counted for an address: IPv4 as it is, IPv6 by its /64, because one customer has all of it. */
export function ipKey(ip: string): string {
  const address = ip.replace(/^\[|\]$/g, '').split('%')[0] ?? ip
  const mapped = address.match(/^::ffff:(\d+\.\d+\.\d+\.\d+)$/i)
  if (mapped?.[1]) return mapped[1]
  if (!address.includes(':')) return address
  const [head = '', tail] = address.toLowerCase().split('::')
  const left = head ? head.split(':') : []
  const right = tail ? tail.split(':') : []
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map((g) => Number.parseInt(g || '0', 16).toString(16))
    .join(':')}::/64`
}
