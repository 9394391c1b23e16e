import {
  CryptoError,
  createReceiver,
  createSender,
  decodeContent,
  encodeContent,
  envelopeKind,
  parseEnvelope,
  type Sender,
} from './crypto/index.ts'
import { appendFrame } from './encrypted-frames.ts'
import type { EncryptedState } from './encrypted-state.ts'
import { idOf, overhead, paddingFlags, settle, unpaddedLength } from './envelopes.ts'

/** Changes made within this time are sealed together: each envelope costs 64 bytes and a place in the log. */
const batchMs = 30
const offlineBatchMs = 500
/** What a server takes unless it says otherwise. */
const usualEnvelopeBytes = 1024 * 1024
/** Kind of document, number and chain. */
const contentOverhead = 41
/** Appends that may be under way at once. */
const inFlight = 100

/** Before the id of what lies on this device and has to be sealed anew: as it is it has no place in its session any more. */
const unsealed = 'again '

/** In place of a number, and above all of them: neither sent nor refused nor sealed once more meanwhile. */
const beingSealed = Number.POSITIVE_INFINITY

type Sealed = { id: string; envelope: Uint8Array }

/** Sealed, and not known to be durable. Sent again as it is, so that a repetition is an exact one (E-8). */
type Outgoing = Sealed & {
  epoch: number
  /** Its number on this connection, once it is sent; `beingSealed` for what is not sent as it is. */
  cseq: number | undefined
  /** How large it was allowed to be when it was sealed; undefined for what lay on this device. */
  limit: number | undefined
}

/** What was written here, until the server has acknowledged it. */
export class EncryptedOutbox {
  private readonly state: EncryptedState
  private cseq = 0
  private outbox: Outgoing[] = []
  private batch: Uint8Array[] = []
  /** Ids under which what is in the batch lies on this device, where it had to be sealed anew or could not be sealed. */
  private batchIds: string[] = []
  /** What of a batch lies there. */
  private readonly kept = new WeakSet<Uint8Array>()
  /** What lay there at the start. */
  private restored: Sealed[] = []
  private sealing = 0
  private owesState = false
  private timer: ReturnType<typeof setTimeout> | undefined
  private sender: Promise<Sender> | undefined
  /** Resolves when what was to be sealed is. */
  sealed: Promise<void> = Promise.resolve()

  constructor(state: EncryptedState) {
    this.state = state
  }

  get isEmpty(): boolean {
    const isWaiting = this.batch.length > 0 || this.restored.length > 0 || this.owesState
    return !isWaiting && this.sealing === 0 && this.outbox.length === 0
  }

  /** A change, to be sealed with those that follow at once. */
  readonly add = (update: Uint8Array): void => {
    const wasEmpty = this.isEmpty
    this.batch.push(update)
    this.timer ??= setTimeout(() => this.seal(), this.state.synced ? batchMs : offlineBatchMs)
    if (wasEmpty) this.state.host.changed()
  }

  /** What the document holds by now, as if it was written after this. */
  addState(): void {
    this.batch.push(this.state.host.crdt.encodeState())
  }

  /** The server has another history: it gets everything that is here, once its own is known. */
  oweState(): void {
    this.owesState = true
  }

  /** Everything that the server had is here. */
  arrived(): void {
    if (this.owesState) this.addState()
    this.owesState = false
    this.resealOld()
    this.seal()
    this.send()
  }

  restore(waiting: readonly { id: string; bytes: Uint8Array }[]): void {
    const sealed = waiting.map(({ id, bytes: envelope }) => ({ id, envelope }))
    const isUnsealed = ({ id }: Sealed) => id.startsWith(unsealed)
    this.restored = sealed.filter(isUnsealed)
    const asTheyAre = sealed
      .filter((one) => !isUnsealed(one))
      .map((one) => ({ ...one, epoch: parseEnvelope(one.envelope).epoch, cseq: undefined, limit: undefined }))
    this.outbox = [...asTheyAre, ...this.outbox]
  }

  opened(): void {
    this.cseq = 0
    for (const outgoing of this.outbox) if (outgoing.cseq !== beingSealed) outgoing.cseq = undefined
    // A session is one connection's: its keys end with it (E-2).
    this.sender = undefined
  }

  /** What is sealed from now on is sealed under whatever key is the current one. */
  changeKey(): void {
    this.sender = undefined
  }

  destroy(): void {
    clearTimeout(this.timer)
  }

  get ids(): Set<string> {
    return new Set(this.outbox.map(({ id }) => id))
  }

  /** Seals what was changed since the last time, and sends it. */
  seal(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    const { state } = this
    if (this.batch.length === 0 || state.destroyed) return
    const { contentType } = state.host.crdt
    const limit = state.welcome?.envelopeBytes ?? usualEnvelopeBytes
    const updates = this.updates(unpaddedLength(limit - overhead, state.host.padding) - contentOverhead)
    const ids = this.batchIds
    this.batch = []
    this.batchIds = []
    this.sealing += updates.length
    this.sealed = this.sealed.then(async () => {
      for (const [i, data] of updates.entries())
        try {
          const sender = await this.currentSender()
          const { seq, chain } = state.place
          const envelope = await sender.seal(
            envelopeKind.update,
            encodeContent({ type: contentType, seq, chain, data }),
            paddingFlags(state.host),
          )
          const id = idOf(envelope)
          this.outbox.push({ id, envelope, epoch: sender.epoch, cseq: undefined, limit })
          this.sealing--
          state.write((storage) => storage.keep(id, envelope))
          state.store([data])
          this.send()
        } catch {
          // No key at the moment: later, in the same order.
          const left = updates.slice(i)
          const leftIds = await this.keep(left, ids)
          this.sealing -= left.length
          this.batch = [...left, ...this.batch]
          this.batchIds = [...leftIds, ...this.batchIds]
          if (!state.destroyed) this.timer ??= setTimeout(() => this.seal(), 2_000)
          state.host.changed()
          return
        }
      if (ids.length > 0) state.write((storage) => storage.forget(ids))
      state.host.changed()
    })
  }

  /**
   * Keeps on this device, under the key that there is, what cannot be sealed for the others yet.
   *
   * @param before ids under which some of it lies there
   * @returns ids under which all of it does; those from before if there is no key at all
   */
  private async keep(updates: Uint8Array[], before: string[]): Promise<string[]> {
    const { state } = this
    const { host, keys, place } = state
    if (!host.storage || updates.every((update) => this.kept.has(update))) return before
    try {
      const sender = createSender({ ...(await keys.current()), room: host.docId })
      const { seq, chain } = place
      const contents = updates.map((data) => encodeContent({ type: host.crdt.contentType, seq, chain, data }))
      const envelopes = await Promise.all(contents.map((content) => sender.seal(envelopeKind.update, content)))
      const sealed = envelopes.map((envelope) => ({ id: unsealed + idOf(envelope), envelope }))
      state.write(async (storage) => {
        for (const { id, envelope } of sealed) await storage.keep(id, envelope)
        if (before.length > 0) await storage.forget(before)
      })
      state.store(updates)
      for (const update of updates) this.kept.add(update)
      return sealed.map(({ id }) => id)
    } catch {
      return before
    }
  }

  /** What was written, as few updates that are small enough to be taken. Others may see one of them before the next. */
  private updates(maxBytes: number): Uint8Array[] {
    const { crdt } = this.state.host
    const merged = crdt.merge ? [crdt.merge(this.batch)] : this.batch
    const { split } = crdt
    return split ? merged.flatMap((update) => split(update, maxBytes)) : merged
  }

  private currentSender(): Promise<Sender> {
    const { state } = this
    const make = async () => {
      if (state.keys.parameters && !state.params) throw new CryptoError('unknown_key', 'the room has not said how')
      const { key, epoch } = await state.keys.current()
      if (epoch < state.serverEpoch)
        throw new CryptoError('unknown_key', `no key of epoch ${state.serverEpoch} is held`)
      return createSender({ key, epoch, room: state.host.docId })
    }
    const sender = (this.sender ?? make()).then((held) => (held.remaining > 0 ? held : make()))
    this.sender = sender
    sender.catch(() => {
      if (this.sender === sender) this.sender = undefined
    })
    return sender
  }

  send(): void {
    const { state } = this
    if (!state.synced || state.access !== 'write') return
    let waiting = this.outbox.filter(({ cseq }) => cseq !== undefined).length
    for (const outgoing of this.outbox) {
      if (waiting >= inFlight) return
      if (outgoing.cseq !== undefined) continue
      const max = state.welcome?.envelopeBytes ?? Number.POSITIVE_INFINITY
      if (outgoing.envelope.length > max) {
        // Sealed before this server said what it takes: perhaps it can be cut smaller.
        if (state.host.crdt.split && (outgoing.limit ?? Number.POSITIVE_INFINITY) > max) {
          void this.sealAgain([outgoing])
          continue
        }
        state.problem({
          code: 'too_large',
          message: 'one value is larger than the server takes: it stays here, and what is written after it',
        })
        this.forget(({ id }) => id === outgoing.id)
        continue
      }
      outgoing.cseq = ++this.cseq
      waiting++
      if (!state.host.link.send(appendFrame(outgoing.cseq, outgoing.envelope))) return
    }
  }

  /** @param cseq the highest one that is durable now */
  acknowledged(cseq: number): void {
    this.forget((outgoing) => outgoing.cseq !== undefined && outgoing.cseq <= cseq)
    this.send()
  }

  /** What stands in the log needs no acknowledgement any more. */
  seen(ids: readonly string[]): void {
    this.forget(({ id }) => ids.includes(id))
  }

  private forget(isDone: (outgoing: Outgoing) => boolean): void {
    const done = this.outbox.filter(isDone)
    if (done.length === 0) return
    this.outbox = this.outbox.filter((outgoing) => !done.includes(outgoing))
    this.state.write((storage) => storage.forget(done.map(({ id }) => id)))
    if (this.isEmpty) this.state.host.changed()
  }

  async refused({ cseq, code, retryAfterMs }: { cseq: number; code: number; retryAfterMs: number }): Promise<void> {
    const { state } = this
    const outgoing = this.outbox.find((each) => each.cseq === cseq)
    if (!outgoing) return
    switch (code) {
      case 403:
        // It stays here: the right may come back.
        state.access = 'read'
        outgoing.cseq = undefined
        state.host.changed()
        return
      case 409:
        await state.keys.refresh?.().catch(() => {})
        return this.sealAgain([outgoing])
      case 429:
      case 503:
        await this.sealAgain([outgoing], Math.max(retryAfterMs, 200))
        return
      default:
        state.problem({
          code: code === 413 ? 'too_large' : 'refused',
          message: `the server refused a change (${code})`,
        })
        this.forget(({ id }) => id === outgoing.id)
    }
  }

  /** What was sealed under a key that is no longer written with, and what was to be sealed anew when a tab was closed. */
  resealOld(): void {
    const { synced, serverEpoch } = this.state
    if (!synced) return
    const old = this.outbox.filter(({ epoch, cseq }) => epoch < serverEpoch && cseq === undefined)
    const { restored } = this
    this.restored = []
    if (restored.length + old.length > 0) this.sealAgain([...restored, ...old])
  }

  /**
   * Not taken by the server, so it has to have a new place in its session: others refuse what comes out of order. Until it has
   * one it lies on this device as what it was.
   */
  private async sealAgain(sealed: readonly Sealed[], afterMs = 0): Promise<void> {
    const { state } = this
    for (const outgoing of this.outbox) if (sealed.includes(outgoing)) outgoing.cseq = beingSealed
    this.sealing += sealed.length
    const receiver = createReceiver({ keys: state.keys, room: state.host.docId })
    const updates: Uint8Array[] = []
    const ids: string[] = []
    for (const { id, envelope } of sealed) {
      const isThere = id.startsWith(unsealed)
      const there = isThere ? id : unsealed + id
      const { opened, error } = await settle(receiver.open(envelope))
      if (!opened) {
        const message = 'a change of an earlier time cannot be sent any more'
        state.problem({ code: 'refused', message, cause: error })
        if (isThere) state.write((storage) => storage.forget([id]))
        continue
      }
      const { data } = decodeContent(opened.plaintext)
      updates.push(data)
      this.kept.add(data)
      ids.push(there)
      if (!isThere) state.write((storage) => storage.keep(there, envelope))
    }
    this.sender = undefined
    this.sealing -= sealed.length
    this.batch = [...updates, ...this.batch]
    this.batchIds = [...ids, ...this.batchIds]
    this.forget((each) => sealed.includes(each))
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.seal(), afterMs)
  }
}
