import { FrameReader, varUint } from './protocol.ts'

/** Sessions that are remembered. A page that is still open and silent for ten thousand others is not expected. */
const mostSessions = 10_000
/** Ranges of one session. A session has more only when somebody skips numbers on purpose: its lowest are forgotten. */
const mostRanges = 100

/**
 * Which (session, counter) a log holds: a set of numbers for each session, as ranges. Nearly always one range, because
 * a session counts from 0 without gaps.
 */
export class Senders {
  /** Oldest use first. Ranges are `[from, to)`, sorted and apart. */
  private readonly sessions = new Map<string, [number, number][]>()

  has(session: string, counter: number): boolean {
    return this.sessions.get(session)?.some(([from, to]) => counter >= from && counter < to) ?? false
  }

  add(session: string, counter: number): void {
    const ranges = this.sessions.get(session) ?? []
    this.sessions.delete(session)
    this.sessions.set(session, ranges)
    if (this.sessions.size > mostSessions) this.sessions.delete(this.sessions.keys().next().value as string)
    // The first range that ends at or behind the number: the one that it is in, extends, or comes before.
    let at = ranges.length
    while (at > 0 && (ranges[at - 1] as [number, number])[1] >= counter) at--
    const [range, next] = [ranges[at], ranges[at + 1]]
    if (!range || range[0] > counter + 1) ranges.splice(at, 0, [counter, counter + 1])
    else {
      range[0] = Math.min(range[0], counter)
      range[1] = Math.max(range[1], counter + 1)
      if (next && next[0] === range[1]) {
        range[1] = next[1]
        ranges.splice(at + 1, 1)
      }
    }
    if (ranges.length > mostRanges) ranges.shift()
  }

  clone(): Senders {
    const copy = new Senders()
    for (const [session, ranges] of this.sessions)
      copy.sessions.set(
        session,
        ranges.map(([from, to]) => [from, to]),
      )
    return copy
  }

  encode(): Uint8Array {
    const parts: (Uint8Array | number[])[] = [varUint(this.sessions.size)]
    for (const [session, ranges] of this.sessions) {
      parts.push(Buffer.from(session, 'hex'), varUint(ranges.length))
      for (const [from, to] of ranges) parts.push(varUint(from), varUint(to - from))
    }
    return Buffer.concat(parts.map((part) => Uint8Array.from(part)))
  }

  /** @throws {MalformedUpdate} when the bytes are not what `encode` made */
  static decode(bytes: Uint8Array): Senders {
    const senders = new Senders()
    const reader = new FrameReader(bytes)
    for (let n = reader.uint(); n > 0; n--) {
      const session = Buffer.from(reader.raw(16)).toString('hex')
      const ranges: [number, number][] = []
      for (let i = reader.uint(); i > 0; i--) {
        const from = reader.uint()
        ranges.push([from, from + reader.uint()])
      }
      senders.sessions.set(session, ranges)
    }
    return senders
  }
}
