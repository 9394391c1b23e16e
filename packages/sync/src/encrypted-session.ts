import type { Access } from './connection-state.ts'
import { concat, equalBytes } from './crypto/bytes.ts'
import {
  CryptoError,
  createReceiver,
  createSender,
  type DocumentKeys,
  decodeContent,
  encodeContent,
  envelopeKind,
  extendChain,
  type Opened,
  parseEnvelope,
  type Receiver,
  type RoomKeys,
  type Sender,
  startChain,
} from './crypto/index.ts'
import {
  appendFrame,
  decodeServerFrame,
  helloFrame,
  keyParamsFrame,
  type Place,
  type ServerFrame,
  type Snapshot,
  snapshotBadFrame,
  snapshotChunkFrame,
  snapshotCommitFrame,
  snapshotGetFrame,
  snapshotOfferFrame,
  snapshotOkFrame,
  type Welcome,
} from './encrypted-frames.ts'
import { EncryptedPresence } from './encrypted-presence.ts'
import type { TextMessage } from './link.ts'
import { Rest } from './rest.ts'
import type { Session, SessionHost, SyncProblem } from './session.ts'

/** Changes made within this time are sealed together: each envelope costs 64 bytes and a place in the log. */
const batchMs = 30
const offlineBatchMs = 500
/** Appends that may be under way at once. */
const inFlight = 100
const keptChains = 4096
const compactAfter = 200
/** Header, commitment and tag of an envelope. */
const overhead = 64

/** Sealed, and not known to be durable. Sent again as it is, so that a repetition is an exact one (E-8). */
type Outgoing = { id: string; envelope: Uint8Array; epoch: number; cseq: number | undefined }
type Download = { snapshot: Snapshot; chunks: Uint8Array[]; isCheck: boolean }

/** A document that the server cannot read: an ordered log of envelopes, folded into snapshots by its members. */
export class EncryptedSession implements Session {
  synced = false
  access: Access = 'write'
  waitingForEpoch: number | undefined
  private readonly host: SessionHost
  private readonly keys: DocumentKeys & Partial<RoomKeys>
  private rest: Rest | undefined
  private readonly unsubscribe: () => void

  /** Where this client is in the log: everything up to it is in the document. */
  private place: Place
  /** Values of the chain, of the places passed last (E-4). */
  private readonly chains = new Map<number, Uint8Array>()
  /** What was known before a server that did not take up there: it has to come by it again. */
  private remembered: Place | undefined
  private params: Uint8Array | undefined
  private answerParams: ((params: Uint8Array | undefined) => void) | undefined
  private log: Receiver
  private welcome: Welcome | undefined
  private download: Download | undefined
  private serverEpoch = 0
  /** A frame could not be read: folding the log would hide it from those who may. */
  private sawUnreadable = false
  private republish = false
  private badSnapshots = 0

  private connection = 0
  private isOpen = false
  private incoming: Promise<void> = Promise.resolve()
  private cseq = 0
  private outbox: Outgoing[] = []
  private batch: Uint8Array[] = []
  private sealing = 0
  private sealed: Promise<void> = Promise.resolve()
  private timer: ReturnType<typeof setTimeout> | undefined
  private sender: Promise<Sender> | undefined
  private readonly presence: EncryptedPresence
  private members = 0
  private wake: (() => void) | undefined
  private keysTimer: ReturnType<typeof setTimeout> | undefined
  private retryTimer: ReturnType<typeof setTimeout> | undefined
  private upload: { snapshot: Snapshot; chunks: Uint8Array[] } | undefined
  private writing: Promise<void> = Promise.resolve()
  private destroyed = false

  constructor(host: SessionHost, keys: DocumentKeys & Partial<RoomKeys>) {
    this.host = host
    this.keys = keys
    this.place = this.start()
    this.log = createReceiver({ keys, room: host.docId })
    const mayTell = () => this.isOpen && this.access === 'write' && (!keys.parameters || this.params !== undefined)
    this.presence = new EncryptedPresence(host, keys, mayTell)
    this.unsubscribe = host.crdt.onUpdate(this.onUpdate)
    // What the document held before there was a connection is the same as what is written later.
    if (host.crdt.isEmpty?.() === false) this.batch.push(host.crdt.encodeState())
  }

  get unsaved(): boolean {
    return this.batch.length > 0 || this.sealing > 0 || this.outbox.length > 0 || this.republish
  }

  async restore(): Promise<void> {
    const { storage } = this.host
    if (!storage) return
    const rest = new Rest(storage, this.keys, this.host.docId)
    const { updates, place, params, outbox } = await rest.load(async (params) => {
      await this.keys.parameters?.(params)
    })
    this.rest = rest
    this.params = params
    for (const update of updates) this.host.crdt.apply(update)
    if (place) this.place = place
    const waiting = outbox.map(({ id, bytes }) => ({
      id,
      envelope: bytes,
      epoch: parseEnvelope(bytes).epoch,
      cseq: undefined,
    }))
    this.outbox = [...waiting, ...this.outbox]
  }

  opened(): void {
    this.isOpen = true
    this.connection++
    this.cseq = 0
    this.welcome = undefined
    this.download = undefined
    this.upload = undefined
    this.members = 0
    for (const outgoing of this.outbox) outgoing.cseq = undefined
    // A session is one connection's: its keys end with it (E-2).
    this.sender = undefined
    this.presence.opened()
    this.host.link.send(helloFrame(this.place.seq > 0 ? this.place : undefined, [], true))
  }

  binary(bytes: Uint8Array<ArrayBuffer>): void {
    const { connection } = this
    let frame: ServerFrame
    try {
      frame = decodeServerFrame(bytes)
    } catch (cause) {
      this.problem({ code: 'unreadable', message: 'the server sent what is no frame', cause })
      return
    }
    // In their order, one after the other: opening takes time, and a snapshot comes before what follows it.
    if (frame.type === 'epoch') this.onEpoch(frame.epoch)
    if (frame.type === 'key-params') this.answerParams?.(frame.params)
    this.incoming = this.incoming.then(async () => {
      if (connection !== this.connection || !this.isOpen) return
      try {
        await this.take(frame)
      } catch (cause) {
        this.problem({ code: 'unreadable', message: 'a frame could not be taken', cause })
      }
    })
  }

  text(message: TextMessage): void {
    if (message.t === 'keys') this.lookForKeys(message.due === true)
    if (message.t !== 'role' || (message.access !== 'read' && message.access !== 'write')) return
    this.access = message.access
    this.sendOutbox()
    this.host.changed()
  }

  lost(): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.synced = false
    this.waitingForEpoch = undefined
    this.connection++
    this.wake?.()
    this.answerParams?.(undefined)
    this.answerParams = undefined
    this.presence.lost()
  }

  acceptHistory(): void {
    this.place = this.start()
    this.remembered = undefined
    this.chains.clear()
    this.republish = true
  }

  async flush(): Promise<void> {
    this.seal()
    // Without a key nothing can be sealed, and nobody should wait for it.
    if (this.waitingForEpoch === undefined && this.welcome) await this.sealed
    await this.writing
  }

  destroy(): void {
    this.seal()
    this.destroyed = true
    this.lost()
    clearTimeout(this.timer)
    clearTimeout(this.retryTimer)
    clearTimeout(this.keysTimer)
    this.unsubscribe()
    this.presence.destroy()
  }

  private start(): Place {
    return { incarnation: new Uint8Array(16), seq: 0, chain: startChain(this.host.docId) }
  }

  private async take(frame: ServerFrame): Promise<void> {
    switch (frame.type) {
      case 'welcome':
        return this.onWelcome(frame)
      case 'frames':
        return this.onFrames(frame.first, frame.frames)
      case 'ack':
        this.forget(({ cseq }) => cseq !== undefined && cseq <= frame.cseq)
        this.sendOutbox()
        return
      case 'nack':
        return this.onNack(frame)
      case 'ephemeral':
        if (frame.connection !== this.welcome?.connection) await this.presence.receive(frame.connection, frame.envelope)
        return
      case 'roster':
        this.onRoster(frame.entries)
        return
      case 'key-params':
        if (!this.params) await this.takeParams(frame.params)
        return
      case 'snapshot-chunk':
        return this.onChunk(frame)
      case 'snapshot-wanted':
        return this.makeSnapshot(frame.lease, frame.seq)
      case 'snapshot-accepted':
        this.uploadSnapshot(frame.seq)
        return
      case 'snapshot-live':
        this.checkLive(frame.snapshot)
        return
      case 'snapshot-refused':
        if (this.upload?.snapshot.seq === frame.seq) this.upload = undefined
        return
    }
  }

  // ---- joining

  private async onWelcome(welcome: Welcome): Promise<void> {
    this.welcome = welcome
    this.access = welcome.access
    this.serverEpoch = welcome.epoch
    if (!(await this.agreeOnKey(welcome))) return
    const before = this.place
    if (before.seq > 0) {
      const isOther =
        !equalBytes(before.incarnation, welcome.incarnation) && before.incarnation.some((byte) => byte > 0)
      if (isOther || welcome.head < before.seq) return this.historyChanged('the server has lost what it had')
    }
    if (welcome.resumed) {
      this.place = { ...before, incarnation: welcome.incarnation }
    } else {
      // The server did not take up where we are. If it goes through that place, it has to be the same history there.
      this.remembered = before.seq > welcome.from ? before : undefined
      this.place = { ...this.start(), incarnation: welcome.incarnation }
      this.chains.clear()
      this.log = createReceiver({ keys: this.keys, room: this.host.docId })
      if (welcome.snapshot) {
        this.download = { snapshot: welcome.snapshot, chunks: [], isCheck: false }
        return
      }
    }
    this.arrive()
  }

  /** Some keys come from what the room says about them, such as the salt of a passphrase. */
  private async agreeOnKey({ keyParams, access }: Welcome): Promise<boolean> {
    if (!this.keys.parameters) return true
    try {
      const own = await this.keys.parameters(keyParams)
      if (!own) this.params = keyParams
      else if (access === 'write') {
        // Of several who begin a document one is the first, and its key is everybody's: nothing is sealed or opened before.
        const answer = new Promise<Uint8Array | undefined>((resolve) => {
          this.answerParams = resolve
        })
        this.host.link.send(keyParamsFrame(own))
        const inForce = await answer
        if (!inForce) return false
        await this.takeParams(inForce)
      }
      return true
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.host.link.refuse(4401, 'wrong_key', message)
      return false
    }
  }

  private async takeParams(params: Uint8Array): Promise<void> {
    await this.keys.parameters?.(params)
    this.params = params
    // What was derived from a proposal of our own must not be used any more.
    this.log = createReceiver({ keys: this.keys, room: this.host.docId })
    this.sender = undefined
    this.presence.changeKey()
  }

  private async onChunk({ seq, n, envelope }: { seq: number; n: number; envelope: Uint8Array }): Promise<void> {
    const { download } = this
    if (!download || download.snapshot.seq !== seq || n !== download.chunks.length) return
    download.chunks.push(envelope)
    if (download.chunks.length < download.snapshot.chunks) return
    this.download = undefined
    const { snapshot, isCheck } = download
    try {
      const data = await this.openSnapshot(snapshot, download.chunks)
      if (isCheck) {
        const isWhole = this.place.seq !== seq || this.unsaved || this.host.crdt.isCoveredBy?.(data) !== false
        this.host.link.send(isWhole ? snapshotOkFrame(seq) : snapshotBadFrame(seq))
        return
      }
      this.host.crdt.apply(data)
      this.place = { ...this.place, seq, chain: snapshot.chain }
      this.remember()
      this.store([data])
      if (this.access === 'write') this.host.link.send(snapshotOkFrame(seq))
      this.arrive()
    } catch (cause) {
      if (cause instanceof CryptoError && cause.code === 'unknown_key') return this.waitForSnapshotKey(download)
      this.problem({ code: 'snapshot', message: 'a snapshot cannot be read', seq, cause })
      this.host.link.send(snapshotBadFrame(seq))
      // The server serves the one before it to whoever comes next.
      if (isCheck) return
      if (++this.badSnapshots < 3) this.host.link.restart()
      else this.host.link.refuse(4422, 'wrong_key', 'the document cannot be read with this key')
    }
  }

  private async waitForSnapshotKey(download: Download): Promise<void> {
    if (download.isCheck || !(await this.waitForKey(download.snapshot.epoch))) return
    const last = download.chunks.pop() as Uint8Array
    this.download = download
    return this.onChunk({ seq: download.snapshot.seq, n: download.chunks.length, envelope: last })
  }

  private async openSnapshot(snapshot: Snapshot, chunks: Uint8Array[]): Promise<Uint8Array> {
    if (!equalBytes(await digest(chunks), snapshot.sha256)) throw new Error('it is not the one that was announced')
    const receiver = createReceiver({ keys: this.keys, room: this.host.docId })
    const opened = await Promise.all(chunks.map((chunk) => receiver.open(chunk)))
    const isWhole = opened.every(
      ({ kind, counter, missing }, i) => kind === envelopeKind.snapshot && missing === 0 && (i > 0 || counter === 0),
    )
    const { type, seq, chain, data } = decodeContent(concat(...opened.map(({ plaintext }) => plaintext)))
    if (!isWhole || seq !== snapshot.seq || !equalBytes(chain, snapshot.chain))
      throw new Error('it is of another place')
    if (type !== this.host.crdt.contentType) throw new Error('it is of another kind of document')
    return data
  }

  /** Looks whether everything that the server had at the welcome is here. */
  private arrive(): void {
    const { welcome, place } = this
    if (!welcome || this.synced || this.download || place.seq < welcome.head) return
    if (place.seq === welcome.head && place.seq > 0 && !equalBytes(place.chain, welcome.chain)) {
      this.historyChanged('the server counts another history than it gives')
      return
    }
    this.synced = true
    this.host.link.settled()
    if (this.republish) {
      this.batch.push(this.host.crdt.encodeState())
      this.republish = false
    }
    this.resealOld()
    this.seal()
    this.sendOutbox()
    this.presence.arrived()
    this.host.changed()
  }

  private historyChanged(message: string): void {
    this.host.link.refuse(4409, 'history_changed', message)
  }

  // ---- receiving

  private async onFrames(
    first: number,
    frames: { connection: number; at: number; envelope: Uint8Array }[],
  ): Promise<void> {
    const { connection } = this
    const known = Math.max(0, this.place.seq + 1 - first)
    const fresh = frames.slice(known).map(({ envelope }) => envelope)
    if (fresh.length === 0) return
    const start = first + known
    // A hole in the log can only be filled by asking for it.
    if (start !== this.place.seq + 1) return this.host.link.restart()
    const ids = fresh.map(idOf)
    const own = new Set(this.outbox.map(({ id }) => id))
    const chains = await extendChain(this.place.chain, start, fresh)
    const opening = fresh.map((envelope, i) =>
      own.has(ids[i] as string) ? undefined : settle(this.log.open(envelope)),
    )
    const applied: Uint8Array[] = []
    for (const [i, envelope] of fresh.entries()) {
      const seq = start + i
      let result = await opening[i]
      while (result?.error instanceof CryptoError && result.error.code === 'unknown_key') {
        const { epoch } = parseEnvelope(envelope)
        // With one key several come, and this was tried before they did.
        const isHere = await this.keys.get(epoch).catch(() => undefined)
        if ((!isHere && !(await this.waitForKey(epoch))) || connection !== this.connection) return this.store(applied)
        result = await settle(this.log.open(envelope))
      }
      if (connection !== this.connection) return this.store(applied)
      this.place = { ...this.place, seq, chain: chains[i] as Uint8Array }
      this.remember()
      if (result) this.apply(seq, result, applied)
      if (this.remembered?.seq === seq && !equalBytes(this.remembered.chain, this.place.chain))
        return this.historyChanged('the server has changed what it had')
    }
    this.forget(({ id }) => ids.includes(id))
    this.store(applied)
    this.arrive()
  }

  private apply(seq: number, { opened, error }: Settled, applied: Uint8Array[]): void {
    if (error instanceof CryptoError && error.code === 'repeated') return
    try {
      if (!opened) throw error
      if (opened.kind === envelopeKind.keyRecord) this.keys.record?.(opened.plaintext)
      if (opened.kind !== envelopeKind.update) return
      const { type, seq: seen, chain, data } = decodeContent(opened.plaintext)
      if (type !== this.host.crdt.contentType) throw new Error('this is another kind of document')
      const ours = this.chains.get(seen)
      if (seen >= seq || (ours && !equalBytes(ours, chain)))
        this.problem({ code: 'history_forked', message: 'its author saw another history than this', seq })
      this.host.crdt.apply(data)
      applied.push(data)
    } catch (cause) {
      this.sawUnreadable = true
      this.problem({ code: 'unreadable', message: 'a change cannot be read', seq, cause })
    }
  }

  private remember(): void {
    this.chains.set(this.place.seq, this.place.chain)
    if (this.chains.size > keptChains) this.chains.delete(this.chains.keys().next().value as number)
  }

  /** @returns false when the connection ended first */
  private async waitForKey(epoch: number): Promise<boolean> {
    const { connection } = this
    this.waitingForEpoch = epoch
    this.host.changed()
    await new Promise<void>((resolve) => {
      this.wake = resolve
      clearTimeout(this.retryTimer)
      this.retryTimer = setTimeout(resolve, 3_000 + Math.random() * 2_000)
    })
    this.wake = undefined
    clearTimeout(this.retryTimer)
    if (connection !== this.connection) return false
    await this.keys.refresh?.().catch(() => {})
    if (connection !== this.connection) return false
    if (await this.keys.get(epoch).catch(() => undefined)) {
      this.waitingForEpoch = undefined
      this.host.changed()
    }
    return true
  }

  /**
   * The server says that there is something new about the keys. One that is due is replaced by whoever comes first: of many
   * members most wait long enough to hear that it is done.
   */
  private lookForKeys(isDue: boolean): void {
    clearTimeout(this.keysTimer)
    const waitMs = isDue ? Math.random() * Math.min(2_000, 100 * this.members) : 0
    this.keysTimer = setTimeout(() => this.refreshKeys(), waitMs)
  }

  private onEpoch(epoch: number): void {
    this.serverEpoch = Math.max(this.serverEpoch, epoch)
    this.sender = undefined
    this.presence.changeEpoch()
    clearTimeout(this.keysTimer)
    this.refreshKeys()
  }

  private refreshKeys(): void {
    this.keys.refresh?.().then(
      () => {
        this.wake?.()
        this.resealOld()
      },
      () => {},
    )
  }

  // ---- sending

  private readonly onUpdate = (update: Uint8Array): void => {
    const wasUnsaved = this.unsaved
    this.batch.push(update)
    this.timer ??= setTimeout(() => this.seal(), this.synced ? batchMs : offlineBatchMs)
    if (!wasUnsaved) this.host.changed()
  }

  /** Seals what was changed since the last time, and sends it. */
  private seal(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    if (this.batch.length === 0 || this.destroyed) return
    const { merge, contentType } = this.host.crdt
    const updates = merge ? [merge(this.batch)] : this.batch
    this.batch = []
    this.sealing += updates.length
    this.sealed = this.sealed.then(async () => {
      for (const [i, data] of updates.entries())
        try {
          const sender = await this.currentSender()
          const { seq, chain } = this.place
          const envelope = await sender.seal(
            envelopeKind.update,
            encodeContent({ type: contentType, seq, chain, data }),
          )
          const id = idOf(envelope)
          this.outbox.push({ id, envelope, epoch: sender.epoch, cseq: undefined })
          this.sealing--
          this.keep(id, envelope, data)
          this.sendOutbox()
        } catch {
          // No key at the moment: later, in the same order.
          this.sealing -= updates.length - i
          this.batch = [...updates.slice(i), ...this.batch]
          if (!this.destroyed) this.timer ??= setTimeout(() => this.seal(), 2_000)
          break
        }
      this.host.changed()
    })
  }

  private currentSender(): Promise<Sender> {
    const make = async () => {
      if (this.keys.parameters && !this.params) throw new CryptoError('unknown_key', 'the room has not said how')
      const { key, epoch } = await this.keys.current()
      if (epoch < this.serverEpoch) throw new CryptoError('unknown_key', `no key of epoch ${this.serverEpoch} is held`)
      return createSender({ key, epoch, room: this.host.docId })
    }
    const sender = (this.sender ?? make()).then((held) => (held.remaining > 0 ? held : make()))
    this.sender = sender
    sender.catch(() => {
      if (this.sender === sender) this.sender = undefined
    })
    return sender
  }

  private sendOutbox(): void {
    if (!this.synced || this.access !== 'write') return
    let waiting = this.outbox.filter(({ cseq }) => cseq !== undefined).length
    for (const outgoing of this.outbox) {
      if (waiting >= inFlight) return
      if (outgoing.cseq !== undefined) continue
      if (outgoing.envelope.length > (this.welcome?.envelopeBytes ?? Number.POSITIVE_INFINITY)) {
        this.problem({ code: 'too_large', message: 'a change is larger than the server takes' })
        this.forget(({ id }) => id === outgoing.id)
        continue
      }
      outgoing.cseq = ++this.cseq
      waiting++
      if (!this.host.link.send(appendFrame(outgoing.cseq, outgoing.envelope))) return
    }
  }

  private forget(isDone: (outgoing: Outgoing) => boolean): void {
    const done = this.outbox.filter(isDone)
    if (done.length === 0) return
    this.outbox = this.outbox.filter((outgoing) => !done.includes(outgoing))
    this.write((storage) => storage.forget(done.map(({ id }) => id)))
    if (!this.unsaved) this.host.changed()
  }

  private async onNack({ cseq, code, retryAfterMs }: { cseq: number; code: number; retryAfterMs: number }) {
    const outgoing = this.outbox.find((each) => each.cseq === cseq)
    if (!outgoing) return
    switch (code) {
      case 403:
        // It stays here: the right may come back.
        this.access = 'read'
        outgoing.cseq = undefined
        this.host.changed()
        return
      case 409:
        await this.keys.refresh?.().catch(() => {})
        return this.sealAgain([outgoing])
      case 429:
      case 503:
        await this.sealAgain([outgoing], Math.max(retryAfterMs, 200))
        return
      default:
        this.problem({ code: code === 413 ? 'too_large' : 'refused', message: `the server refused a change (${code})` })
        this.forget(({ id }) => id === outgoing.id)
    }
  }

  /** What was sealed under a key that is no longer written with. */
  private resealOld(): void {
    if (!this.synced) return
    const old = this.outbox.filter(({ epoch, cseq }) => epoch < this.serverEpoch && cseq === undefined)
    if (old.length > 0) this.sealAgain(old)
  }

  /** Not taken by the server, so it has to have a new place in its session: others refuse what comes out of order. */
  private async sealAgain(outgoing: Outgoing[], afterMs = 0): Promise<void> {
    const receiver = createReceiver({ keys: this.keys, room: this.host.docId })
    const updates = []
    for (const { envelope } of outgoing) {
      const { opened, error } = await settle(receiver.open(envelope))
      if (opened) updates.push(decodeContent(opened.plaintext).data)
      else
        this.problem({ code: 'refused', message: 'a change of an earlier time cannot be sent any more', cause: error })
    }
    this.sender = undefined
    this.batch = [...updates, ...this.batch]
    this.forget((each) => outgoing.includes(each))
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.seal(), afterMs)
  }

  private onRoster(entries: { joined: boolean; connection: number }[]): void {
    for (const { joined, connection } of entries) {
      this.members += joined ? 1 : -1
      if (!joined) this.presence.left(connection)
    }
  }

  // ---- snapshots

  /** Folds the log for everybody who comes later: the server asked this client to, and it has everything. */
  private async makeSnapshot(lease: number, atLeast: number): Promise<void> {
    const { place, welcome, connection, host } = this
    if (!welcome || !this.synced || this.access !== 'write' || this.sawUnreadable || place.seq < atLeast) return
    if (this.unsaved) await this.sealed
    const { seq, chain } = this.place
    const { key, epoch } = await this.keys.current()
    if (epoch < this.serverEpoch) return
    const content = encodeContent({ type: host.crdt.contentType, seq, chain, data: host.crdt.encodeState() })
    const size = welcome.chunkBytes - overhead
    const sender = createSender({ key, epoch, room: host.docId })
    const chunks = await Promise.all(
      Array.from({ length: Math.ceil(content.length / size) }, (_, i) =>
        sender.seal(envelopeKind.snapshot, content.subarray(i * size, (i + 1) * size)),
      ),
    )
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (bytes > welcome.snapshotBytes) {
      this.problem({ code: 'too_large', message: 'the document is larger than a snapshot may be', seq })
      return
    }
    const snapshot = { seq, epoch, size: bytes, sha256: await digest(chunks), chain, chunks: chunks.length }
    if (connection !== this.connection) return
    this.upload = { snapshot, chunks }
    host.link.send(snapshotOfferFrame(snapshot, lease))
  }

  private uploadSnapshot(seq: number): void {
    const { upload } = this
    if (upload?.snapshot.seq !== seq) return
    for (const [n, chunk] of upload.chunks.entries()) this.host.link.send(snapshotChunkFrame(seq, n, chunk))
    this.host.link.send(snapshotCommitFrame(seq))
  }

  /** Somebody folded the log. One or two of the others look whether everything is in there, before it may be deleted. */
  private checkLive(snapshot: Snapshot): void {
    const isOwn = this.upload?.snapshot.seq === snapshot.seq
    if (isOwn) this.upload = undefined
    const canTell = this.synced && this.place.seq === snapshot.seq && !this.unsaved && this.host.crdt.isCoveredBy
    if (isOwn || !canTell || this.download || this.access !== 'write') return
    if (Math.random() > 2 / Math.max(1, this.members)) return
    this.download = { snapshot, chunks: [], isCheck: true }
    this.host.link.send(snapshotGetFrame(snapshot.seq))
  }

  // ---- on this device

  private keep(id: string, envelope: Uint8Array, data: Uint8Array): void {
    this.write((storage) => storage.keep(id, envelope))
    this.store([data])
  }

  private store(updates: Uint8Array[]): void {
    const { rest } = this
    if (!rest) return
    const meta = { params: this.params, place: this.place.seq > 0 ? this.place : undefined }
    const isFull = rest.size > compactAfter
    const state = isFull ? this.host.crdt.encodeState() : undefined
    this.write(() => (state ? rest.replace(state, meta) : rest.append(updates, meta)))
  }

  private write(work: (storage: NonNullable<SessionHost['storage']>) => Promise<void>): void {
    const { storage } = this.host
    if (!storage) return
    this.writing = this.writing
      .then(() => work(storage))
      .catch((cause) => this.problem({ code: 'storage', message: 'the document cannot be kept on this device', cause }))
  }

  private problem(problem: SyncProblem): void {
    this.host.problem(problem)
  }
}

type Settled = { opened?: Opened; error?: unknown }

/** An outcome that nobody has to catch. */
function settle(opening: Promise<Opened>): Promise<Settled> {
  return opening.then(
    (opened) => ({ opened }),
    (error: unknown) => ({ error }),
  )
}

/** Session and counter: what makes an envelope the same one. */
function idOf(envelope: Uint8Array): string {
  let id = ''
  for (const byte of envelope.subarray(8, 32)) id += byte.toString(16).padStart(2, '0')
  return id
}

async function digest(chunks: Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', concat(...chunks)))
}
