import { concat, equalBytes } from './crypto/bytes.ts'
import {
  CryptoError,
  createReceiver,
  createSender,
  decodeContent,
  encodeContent,
  envelopeKind,
} from './crypto/index.ts'
import {
  type Snapshot,
  snapshotBadFrame,
  snapshotChunkFrame,
  snapshotCommitFrame,
  snapshotGetFrame,
  snapshotOfferFrame,
  snapshotOkFrame,
} from './encrypted-frames.ts'
import type { EncryptedOutbox } from './encrypted-outbox.ts'
import type { EncryptedState } from './encrypted-state.ts'
import { digestOf, overhead, paddingFlags, unpaddedLength } from './envelopes.ts'

type Download = { snapshot: Snapshot; chunks: Uint8Array[]; isCheck: boolean }

/** The log, folded by its members: loaded when joining, made when the server asks, and looked at before the log may go. */
export class EncryptedSnapshots {
  private readonly state: EncryptedState
  private readonly outbox: EncryptedOutbox
  private readonly waitForKey: (epoch: number) => Promise<boolean>
  /** The document has what a snapshot held. */
  private readonly onLoaded: () => void
  private download: Download | undefined
  private upload: { snapshot: Snapshot; chunks: Uint8Array[] } | undefined
  private bad = 0

  constructor(
    state: EncryptedState,
    outbox: EncryptedOutbox,
    { waitForKey, onLoaded }: { waitForKey: (epoch: number) => Promise<boolean>; onLoaded: () => void },
  ) {
    this.state = state
    this.outbox = outbox
    this.waitForKey = waitForKey
    this.onLoaded = onLoaded
  }

  get isLoading(): boolean {
    return this.download !== undefined
  }

  opened(): void {
    this.download = undefined
    this.upload = undefined
  }

  /** The server sends this one by itself. */
  expect(snapshot: Snapshot): void {
    this.download = { snapshot, chunks: [], isCheck: false }
  }

  async takeChunk({ seq, n, envelope }: { seq: number; n: number; envelope: Uint8Array }): Promise<void> {
    const { download, state } = this
    const { host } = state
    if (!download || download.snapshot.seq !== seq || n !== download.chunks.length) return
    download.chunks.push(envelope)
    if (download.chunks.length < download.snapshot.chunks) return
    this.download = undefined
    const { snapshot, isCheck } = download
    try {
      const data = await this.open(snapshot, download.chunks)
      if (isCheck) {
        const isWhole = state.place.seq !== seq || !this.outbox.isEmpty || host.crdt.isCoveredBy?.(data) !== false
        host.link.send(isWhole ? snapshotOkFrame(seq) : snapshotBadFrame(seq))
        return
      }
      host.crdt.apply(data)
      state.moveTo({ ...state.place, seq, chain: snapshot.chain })
      state.store([data])
      if (state.access === 'write') host.link.send(snapshotOkFrame(seq))
      this.onLoaded()
    } catch (cause) {
      if (cause instanceof CryptoError && cause.code === 'unknown_key') return this.waitForSnapshotKey(download)
      state.problem({ code: 'snapshot', message: 'a snapshot cannot be read', seq, cause })
      host.link.send(snapshotBadFrame(seq))
      // The server serves the one before it to whoever comes next.
      if (isCheck) return
      if (++this.bad < 3) host.link.restart()
      else host.link.refuse(4422, 'wrong_key', 'the document cannot be read with this key')
    }
  }

  private async waitForSnapshotKey(download: Download): Promise<void> {
    if (download.isCheck || !(await this.waitForKey(download.snapshot.epoch))) return
    const last = download.chunks.pop() as Uint8Array
    this.download = download
    return this.takeChunk({ seq: download.snapshot.seq, n: download.chunks.length, envelope: last })
  }

  private async open(snapshot: Snapshot, chunks: Uint8Array[]): Promise<Uint8Array> {
    const { host, keys } = this.state
    if (!equalBytes(await digestOf(chunks), snapshot.sha256)) throw new Error('it is not the one that was announced')
    const receiver = createReceiver({ keys, room: host.docId })
    const opened = await Promise.all(chunks.map((chunk) => receiver.open(chunk)))
    const isWhole = opened.every(
      ({ kind, counter, missing }, i) => kind === envelopeKind.snapshot && missing === 0 && (i > 0 || counter === 0),
    )
    const { type, seq, chain, data } = decodeContent(concat(...opened.map(({ plaintext }) => plaintext)))
    if (!isWhole || seq !== snapshot.seq || !equalBytes(chain, snapshot.chain))
      throw new Error('it is of another place')
    if (type !== host.crdt.contentType) throw new Error('it is of another kind of document')
    host.crdt.check?.(data)
    return data
  }

  /** Folds the log for everybody who comes later: the server asked this client to, and it has everything. */
  async make(lease: number, atLeast: number): Promise<void> {
    const { state, outbox } = this
    const { place, welcome, connection, host } = state
    if (!welcome || !state.synced || state.access !== 'write' || state.sawUnreadable || place.seq < atLeast) return
    if (!outbox.isEmpty) await outbox.sealed
    const { seq, chain } = state.place
    const { key, epoch } = await state.keys.current()
    if (epoch < state.serverEpoch) return
    const content = encodeContent({ type: host.crdt.contentType, seq, chain, data: host.crdt.encodeState() })
    const size = unpaddedLength(welcome.chunkBytes - overhead, host.padding)
    const sender = createSender({ key, epoch, room: host.docId })
    const chunks = await Promise.all(
      Array.from({ length: Math.ceil(content.length / size) }, (_, i) =>
        sender.seal(envelopeKind.snapshot, content.subarray(i * size, (i + 1) * size), paddingFlags(host)),
      ),
    )
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (bytes > welcome.snapshotBytes) {
      state.problem({ code: 'too_large', message: 'the document is larger than a snapshot may be', seq })
      return
    }
    const snapshot = { seq, epoch, size: bytes, sha256: await digestOf(chunks), chain, chunks: chunks.length }
    if (connection !== state.connection) return
    this.upload = { snapshot, chunks }
    host.link.send(snapshotOfferFrame(snapshot, lease))
  }

  send(seq: number): void {
    const { upload } = this
    const { link } = this.state.host
    if (upload?.snapshot.seq !== seq) return
    for (const [n, chunk] of upload.chunks.entries()) link.send(snapshotChunkFrame(seq, n, chunk))
    link.send(snapshotCommitFrame(seq))
  }

  refused(seq: number): void {
    if (this.upload?.snapshot.seq === seq) this.upload = undefined
  }

  /** Somebody folded the log. One or two of the others look whether everything is in there, before it may be deleted. */
  check(snapshot: Snapshot): void {
    const { state, outbox } = this
    const isOwn = this.upload?.snapshot.seq === snapshot.seq
    if (isOwn) this.upload = undefined
    const isHere = state.synced && state.place.seq === snapshot.seq && outbox.isEmpty
    if (isOwn || !isHere || !state.host.crdt.isCoveredBy || this.download || state.access !== 'write') return
    if (Math.random() > 2 / Math.max(1, state.members)) return
    this.download = { snapshot, chunks: [], isCheck: true }
    state.host.link.send(snapshotGetFrame(snapshot.seq))
  }
}
