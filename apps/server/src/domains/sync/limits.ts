/** What a connection, a room and a node may use. Every number is a default that can be changed. */
export type SyncLimits = {
  messagesPerSecond: number
  messagesBurst: number
  awarenessPerSecond: number
  bytesPerSecond: number
  bytesBurst: number
  updateBytes: number
  awarenessBytes: number
  documentBytes: number
  /** Client ids that have written to one document: each is a range of clocks in memory, and in every vector. */
  clientsPerDocument: number
  /** Of encrypted rooms: one envelope of the log, an ephemeral one, a snapshot and one chunk of it. */
  envelopeBytes: number
  ephemeralBytes: number
  snapshotBytes: number
  snapshotChunkBytes: number
  /** Bytes of an encrypted log behind its snapshot. */
  unfoldedBytes: number
  connectionsPerRoom: number
  connectionsPerUser: number
  connectionsPerOrganization: number
  upgradesPerIpPerSecond: number
  upgradesPerIpBurst: number
  upgradesPerSecond: number
  /** Frames and bytes that wait while the room is loaded. */
  queuedFrames: number
  queuedBytes: number
  /** Frames of a paused connection that wait: Bun hands over what it had read already, up to 512 KB at once. */
  backlogFrames: number
  /** Frames and bytes of one connection that are not committed yet: beyond them reading from it pauses. */
  uncommittedFrames: number
  uncommittedBytes: number
  /** Bytes of one room, and of all rooms, that wait for the database. */
  roomPendingBytes: number
  nodePendingBytes: number
  firstFrameSeconds: number
  /** Sockets that show their credential in the first message and have not done so yet; of one address, of the node. */
  waitingSocketsPerIp: number
  waitingSockets: number
  /** What such a socket may say until then, in bytes, and how long it may take. */
  firstMessageBytes: number
  firstMessageSeconds: number
  /** Bytes of one text frame. */
  textBytes: number
  /** Sockets that were let in only to be told why they are refused. */
  refusedSockets: number
  /** Wrong static tokens a minute and address. */
  wrongTokensPerMinute: number
}

export const defaultLimits: SyncLimits = {
  messagesPerSecond: 100,
  messagesBurst: 300,
  awarenessPerSecond: 20,
  bytesPerSecond: 256 * 1024,
  bytesBurst: 4 * 1024 * 1024,
  updateBytes: 1024 * 1024,
  awarenessBytes: 4 * 1024,
  documentBytes: 32 * 1024 * 1024,
  clientsPerDocument: 250_000,
  envelopeBytes: 1024 * 1024,
  ephemeralBytes: 16 * 1024,
  snapshotBytes: 64 * 1024 * 1024,
  snapshotChunkBytes: 256 * 1024,
  unfoldedBytes: 128 * 1024 * 1024,
  connectionsPerRoom: 2000,
  connectionsPerUser: 50,
  connectionsPerOrganization: 10_000,
  upgradesPerIpPerSecond: 20,
  upgradesPerIpBurst: 100,
  upgradesPerSecond: 2000,
  queuedFrames: 64,
  queuedBytes: 1024 * 1024,
  backlogFrames: 2000,
  uncommittedFrames: 200,
  uncommittedBytes: 256 * 1024,
  roomPendingBytes: 8 * 1024 * 1024,
  nodePendingBytes: 256 * 1024 * 1024,
  firstFrameSeconds: 10,
  waitingSocketsPerIp: 20,
  waitingSockets: 1000,
  firstMessageBytes: 16 * 1024,
  firstMessageSeconds: 5,
  textBytes: 128 * 1024,
  refusedSockets: 1000,
  wrongTokensPerMinute: 5,
}

/**
 * Reads `name=value` pairs separated by commas, names as in {@link SyncLimits}.
 *
 * @throws {Error} in words for the operator
 */
export function parseLimits(text: string): Partial<SyncLimits> {
  const limits: Partial<SyncLimits> = {}
  for (const pair of text.split(',').map((part) => part.trim())) {
    if (!pair) continue
    const [name = '', value = ''] = pair.split('=')
    if (!Object.hasOwn(defaultLimits, name)) throw new Error(`there is no limit "${name}"`)
    // Nobody waits where none may: then there is no credential in a first message.
    const least = name.startsWith('waiting') ? 0 : 1
    if (!/^(0|[1-9][0-9]{0,11})$/.test(value) || Number(value) < least)
      throw new Error(`${name} must be a positive whole number`)
    limits[name as keyof SyncLimits] = Number(value)
  }
  return limits
}

/** A token bucket as two numbers. It may go into debt: what has been received cannot be given back. */
export class Bucket {
  private level: number
  private at: number

  constructor(burst: number, now: number) {
    this.level = burst
    this.at = now
  }

  /** @param now milliseconds of a monotonic clock @returns milliseconds until the bucket is out of debt, 0 if it is */
  take(amount: number, perSecond: number, burst: number, now: number): number {
    this.level = Math.min(burst, this.level + ((now - this.at) * perSecond) / 1000) - amount
    this.at = now
    return this.level >= 0 ? 0 : (-this.level * 1000) / perSecond
  }
}

/** Buckets by key (an address), a bounded number of them. */
export class Buckets {
  private readonly buckets = new Map<string, Bucket>()
  private readonly perSecond: number
  private readonly burst: number

  constructor(perSecond: number, burst: number) {
    this.perSecond = perSecond
    this.burst = burst
  }

  /** Whether nothing could be taken now. Takes nothing. */
  isEmpty(key: string, now: number): boolean {
    const bucket = this.buckets.get(key)
    if (!bucket) return false
    const empty = bucket.take(1, this.perSecond, this.burst, now) > 0
    bucket.take(-1, this.perSecond, this.burst, now)
    return empty
  }

  /** @returns true while there is room */
  take(key: string, now: number): boolean {
    let bucket = this.buckets.get(key)
    if (!bucket) {
      // Ten thousand addresses at once are an attack: forgetting the oldest costs it nothing and us no memory.
      if (this.buckets.size >= 10_000) this.buckets.delete(this.buckets.keys().next().value as string)
      bucket = new Bucket(this.burst, now)
      this.buckets.set(key, bucket)
    }
    const allowed = bucket.take(1, this.perSecond, this.burst, now) === 0
    // A refused attempt costs nothing, or a client that keeps trying would never get in again.
    if (!allowed) bucket.take(-1, this.perSecond, this.burst, now)
    return allowed
  }
}
