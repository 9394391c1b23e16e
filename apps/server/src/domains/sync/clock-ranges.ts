import { type ClockRange, walkStateVector } from './walk-update.ts'

/**
 * Which operations are held, as ranges of clocks per client. A state vector can say only "everything below n"; what
 * arrived beyond a gap is remembered here, so that it counts as soon as the gap closes.
 */
export class ClockRanges {
  /** Flat pairs `from, to` per client, ascending, neither touching nor overlapping. Nearly always one pair. */
  private readonly clients = new Map<number, number[]>()

  /** How many clients have written. */
  get size(): number {
    return this.clients.size
  }

  has(client: number): boolean {
    return this.clients.has(client)
  }

  /** @returns true when something new was added */
  add({ client, from, to }: ClockRange): boolean {
    const held = this.clients.get(client)
    if (!held) {
      this.clients.set(client, [from, to])
      return true
    }
    const last = held.length - 2
    // The common case: the author goes on where it stopped.
    if (from === held[last + 1]) {
      held[last + 1] = to
      return true
    }
    let i = 0
    while (i < held.length && (held[i + 1] as number) < from) i += 2
    let j = i
    let start = from
    let end = to
    while (j < held.length && (held[j] as number) <= to) {
      start = Math.min(start, held[j] as number)
      end = Math.max(end, held[j + 1] as number)
      j += 2
    }
    if (j === i + 2 && start === held[i] && end === held[i + 1]) return false
    held.splice(i, j - i, start, end)
    return true
  }

  addAll(ranges: readonly ClockRange[]): boolean {
    let added = false
    for (const range of ranges) if (this.add(range)) added = true
    return added
  }

  /** The next clock of a client: everything below it is held. */
  next(client: number): number {
    const held = this.clients.get(client)
    return held && held[0] === 0 ? (held[1] as number) : 0
  }

  /** True when nothing of these ranges is held, nor anything behind them. */
  isBehind(ranges: readonly ClockRange[]): boolean {
    for (const { client, from } of ranges) {
      const held = this.clients.get(client)
      if (held && (held[held.length - 1] as number) > from) return false
    }
    return true
  }

  /** True when these ranges leave clocks missing below them. */
  leavesGap(ranges: readonly ClockRange[]): boolean {
    for (const { client, from } of ranges) if (this.next(client) < from) return true
    return false
  }

  covers(ranges: readonly ClockRange[]): boolean {
    for (const range of ranges) if (!this.coversOne(range)) return false
    return true
  }

  private coversOne({ client, from, to }: ClockRange): boolean {
    const held = this.clients.get(client)
    if (!held) return false
    for (let i = 0; i < held.length; i += 2) {
      if ((held[i] as number) <= from && to <= (held[i + 1] as number)) return true
    }
    return false
  }

  equals(other: ClockRanges): boolean {
    if (this.clients.size !== other.clients.size) return false
    for (const [client, held] of this.clients) {
      const theirs = other.clients.get(client)
      if (theirs?.length !== held.length || held.some((clock, i) => clock !== theirs[i])) return false
    }
    return true
  }

  clone(): ClockRanges {
    const copy = new ClockRanges()
    for (const [client, held] of this.clients) copy.clients.set(client, held.slice())
    return copy
  }

  /** Bytes of the state vector, as SyncStep1 carries it. */
  encodeVector(): Uint8Array {
    const out: number[] = []
    let n = 0
    for (const [client, held] of this.clients) {
      if (held[0] !== 0) continue
      n++
      pushVarUint(out, client)
      pushVarUint(out, held[1] as number)
    }
    const head: number[] = []
    pushVarUint(head, n)
    return Uint8Array.from([...head, ...out])
  }

  /** True when a reader with this vector lacks nothing of what is held here (deletions aside). */
  isCoveredBy(vector: ReadonlyMap<number, number>): boolean {
    for (const [client, held] of this.clients) {
      if ((vector.get(client) ?? 0) < (held[held.length - 1] as number)) return false
    }
    return true
  }
}

/** @throws {MalformedUpdate} */
export function decodeVector(bytes: Uint8Array): Map<number, number> {
  return walkStateVector(bytes)
}

function pushVarUint(out: number[], value: number) {
  let n = value
  while (n >= 128) {
    out.push((n % 128) | 0x80)
    n = Math.floor(n / 128)
  }
  out.push(n)
}
