import type { Connection } from './connection.ts'
import type { RosterEntry } from './encrypted-frames.ts'
import type { StoredEncryptedRoom, StoredSnapshot } from './encrypted-store.ts'
import { extendChain, readEnvelope, startChain } from './envelope.ts'
import { type Entry, Room } from './room.ts'
import type { Senders } from './senders.ts'
import type { Expectation, StoredEntry } from './store.ts'

/** Entries that travel in one frame. */
export const frameBytes = 64 * 1024

/** Something that a connection sent and that is not answered yet. */
export type Outstanding = { cseq: number; state: 'open' | 'durable' | 'refused'; seq: number }

/** One envelope of the log. */
export type EnvelopeEntry = Entry & {
  epoch: number
  session: string
  counter: number
  kind: number
  /** Number of the connection that sent it; 0: not known any more. */
  ref: number
  /** Hash over the log up to this entry; while it is not committed, what it will be if nobody comes in between. */
  chain: Uint8Array | undefined
  /** Who is told once it is durable. Several, if somebody sent it again on a new connection. */
  waiting: { connection: Connection; outstanding: Outstanding }[]
}

/** What an encrypted room keeps for a connection. */
export class Member {
  readonly ref: number
  readonly connection: Connection
  makesSnapshots = false
  /** The number behind the last entry that it was sent. */
  next = 0
  /** Ends an earlier delivery when a new one begins. */
  delivery: object | undefined
  onDrain: (() => void) | undefined
  lastCseq = 0
  readonly outstanding: Outstanding[] = []
  /** Receives what is not stored. A socket that lags does not. */
  hearsEphemeral = false
  fetching: Promise<void> = Promise.resolve()
  fetches = 0
  leasedAt = 0
  saidAt = 0

  constructor(ref: number, connection: Connection) {
    this.ref = ref
    this.connection = connection
  }
}

/** An ordered log of envelopes that only its members can open, as far back as the live snapshot. */
export class EncryptedRoom extends Room<EnvelopeEntry> {
  readonly kind = 'e2ee'
  keyEpoch: number
  keyParams: Uint8Array | undefined
  snapshot: StoredSnapshot | undefined
  /** Hash over the log up to `head`. */
  chain: Uint8Array
  /** Number and hash right before the tail. */
  baseSeq: number
  private baseChain: Uint8Array
  /** What stands before the tail. */
  private senders: Senders
  private readonly byCounter = new Map<string, EnvelopeEntry>()

  readonly members = new Map<Connection, Member>()
  /** Who came and went since everybody was told; and of those, whom the other nodes have to be told of. */
  rosterChanges: RosterEntry[] = []
  ownRosterChanges: RosterEntry[] = []
  /** Who is here through other nodes. */
  readonly elsewhere = new Map<string, Map<number, RosterEntry>>()
  rosterTimer: ReturnType<typeof setTimeout> | undefined
  lease: { id: number; member: Member; until: number } | undefined
  uploading = 0
  /** The snapshot is being compared with the database. */
  syncing: Promise<void> | undefined

  constructor(instanceId: string, key: string, stored: StoredEncryptedRoom, now: number) {
    super(instanceId, key, stored, now)
    this.keyEpoch = stored.keyEpoch
    this.keyParams = stored.keyParams
    this.snapshot = stored.snapshot
    this.senders = stored.senders
    this.baseSeq = stored.snapshotSeq
    this.baseChain = stored.snapshot?.chain ?? startChain(key)
    this.chain = this.baseChain
    this.insert(stored.tail)
  }

  get bytes(): number {
    return this.tailBytes
  }

  /** What the log says about an envelope: the entry itself, or that it stands before what is in memory. */
  find(session: string, counter: number): EnvelopeEntry | 'before' | undefined {
    return this.byCounter.get(`${session}:${counter}`) ?? (this.senders.has(session, counter) ? 'before' : undefined)
  }

  /** The hash behind an entry, as far back as the tail goes. */
  chainAt(seq: number): Uint8Array | undefined {
    if (seq === this.baseSeq) return this.baseChain
    return seq <= this.head ? this.tail[seq - this.baseSeq - 1]?.chain : undefined
  }

  entryAt(seq: number): EnvelopeEntry | undefined {
    return seq <= this.head ? this.tail[seq - this.baseSeq - 1] : undefined
  }

  override append(entry: EnvelopeEntry): void {
    super.append(entry)
    this.byCounter.set(`${entry.session}:${entry.counter}`, entry)
  }

  /** One append has one epoch: the database compares it. */
  override uncommitted(bytes: number): EnvelopeEntry[] {
    const entries = super.uncommitted(bytes)
    const other = entries.findIndex(({ epoch }) => epoch !== entries[0]?.epoch)
    return other < 0 ? entries : entries.slice(0, other)
  }

  /** The numbers, the epoch and the hash hold only if nobody else appends first. */
  override expectation(entries: readonly EnvelopeEntry[]): Expectation {
    let { chain } = this
    entries.forEach((entry, i) => {
      chain = extendChain(chain, this.head + 1 + i, entry.bytes)
      entry.chain = chain
    })
    return { head: this.head, keyEpoch: entries[0]?.epoch ?? 0, chain }
  }

  /** What was read may be what this node has sent itself, without having heard that it was stored. */
  protected entryOf({ seq, bytes, at }: StoredEntry): EnvelopeEntry {
    const { epoch, session, counter, kind } = readEnvelope(bytes)
    const own = this.byCounter.get(`${session}:${counter}`)
    const isOwn = own?.seq === 0 && Buffer.compare(own.bytes, bytes) === 0
    if (isOwn && this.discard(own)) return { ...own, seq, at, chain: undefined }
    return { bytes, at, seq, epoch, session, counter, kind, author: undefined, ref: 0, chain: undefined, waiting: [] }
  }

  protected settled(entry: EnvelopeEntry): void {
    entry.chain ??= extendChain(this.chain, entry.seq, entry.bytes)
    this.chain = entry.chain
    this.byCounter.set(`${entry.session}:${entry.counter}`, entry)
  }

  /** Takes an entry out that is not committed, and will not be. */
  discard(entry: EnvelopeEntry): boolean {
    const at = this.tail.indexOf(entry, this.committed)
    if (at < 0) return false
    this.tail.splice(at, 1)
    this.tailBytes -= entry.bytes.length
    this.pendingBytes -= entry.bytes.length
    const name = `${entry.session}:${entry.counter}`
    if (this.byCounter.get(name) === entry) this.byCounter.delete(name)
    return true
  }

  /** Which (session, counter) the log holds up to an entry of the tail. */
  sendersUpTo(seq: number): Senders {
    const senders = this.senders.clone()
    for (let i = 0; i < seq - this.baseSeq; i++) {
      const entry = this.tail[i] as EnvelopeEntry
      senders.add(entry.session, entry.counter)
    }
    return senders
  }

  /** Forgets the entries up to `seq`, which the live snapshot contains and nobody is being sent any more. */
  trim(seq: number): void {
    const n = Math.min(seq, this.head) - this.baseSeq
    if (n <= 0) return
    const chain = this.chainAt(this.baseSeq + n) as Uint8Array
    this.senders = this.sendersUpTo(this.baseSeq + n)
    for (const { session, counter } of this.tail.slice(0, n)) this.byCounter.delete(`${session}:${counter}`)
    this.dropFirst(n)
    this.baseSeq += n
    this.baseChain = chain
  }

  /** Puts entries back before the tail: a snapshot that contained them is not believed any more. */
  prepend(stored: readonly StoredEntry[], seq: number, chain: Uint8Array): void {
    const entries: EnvelopeEntry[] = []
    let last = chain
    for (const { seq, bytes, at } of stored) {
      const { epoch, session, counter, kind } = readEnvelope(bytes)
      last = extendChain(last, seq, bytes)
      const entry = {
        bytes,
        at,
        seq,
        epoch,
        session,
        counter,
        kind,
        author: undefined,
        ref: 0,
        chain: last,
        waiting: [],
      }
      entries.push(entry)
      this.byCounter.set(`${session}:${counter}`, entry)
      this.tailBytes += bytes.length
    }
    this.tail.unshift(...entries)
    this.base -= entries.length
    this.committed += entries.length
    this.baseSeq = seq
    this.baseChain = chain
  }
}

/** Who handles any room takes this one too, and hands it back to us. */
export const asRoom = (room: EncryptedRoom) => room as unknown as Room
