import type { Access } from './connection-state.ts'
import { type DocumentKeys, type RoomKeys, startChain } from './crypto/index.ts'
import type { Place, Welcome } from './encrypted-frames.ts'
import { Rest } from './rest.ts'
import type { SessionHost, SyncProblem } from './session.ts'

const keptChains = 4096
const compactAfter = 200

/** What the parts of an encrypted session know together: where they are in the log, and what of it lies on this device. */
export class EncryptedState {
  readonly host: SessionHost
  readonly keys: DocumentKeys & Partial<RoomKeys>
  synced = false
  access: Access = 'write'
  welcome: Welcome | undefined
  serverEpoch = 0
  params: Uint8Array | undefined
  /** A frame could not be read: folding the log would hide it from those who may. */
  sawUnreadable = false
  /** Counts connections: what belongs to an earlier one is not listened to. */
  connection = 0
  isOpen = false
  /** How many are in the document, as far as the server tells. */
  members = 0
  destroyed = false
  /** Where this client is in the log: everything up to it is in the document. */
  place: Place
  /** Values of the chain, of the places passed last (E-4). */
  readonly chains = new Map<number, Uint8Array>()
  rest: Rest | undefined
  writing: Promise<void> = Promise.resolve()

  constructor(host: SessionHost, keys: DocumentKeys & Partial<RoomKeys>) {
    this.host = host
    this.keys = keys
    this.place = this.start()
  }

  start(): Place {
    return { incarnation: new Uint8Array(16), seq: 0, chain: startChain(this.host.docId) }
  }

  moveTo(place: Place): void {
    this.place = place
    this.chains.set(place.seq, place.chain)
    if (this.chains.size > keptChains) this.chains.delete(this.chains.keys().next().value as number)
  }

  problem(problem: SyncProblem): void {
    this.host.problem(problem)
  }

  historyChanged(message: string): void {
    this.host.link.refuse(4409, 'history_changed', message)
  }

  /** What lay on this device goes into the document. @returns what was sealed and never acknowledged */
  async restore(): Promise<{ id: string; bytes: Uint8Array }[]> {
    const { storage } = this.host
    if (!storage) return []
    const rest = new Rest(storage, this.keys, this.host.docId)
    const { updates, place, params, outbox } = await rest.load(async (params) => {
      await this.keys.parameters?.(params)
    })
    this.rest = rest
    this.params = params
    for (const update of updates) this.host.crdt.apply(update)
    if (place) this.place = place
    return outbox
  }

  store(updates: Uint8Array[]): void {
    const { rest } = this
    if (!rest) return
    const meta = { params: this.params, place: this.place.seq > 0 ? this.place : undefined }
    const isFull = rest.size > compactAfter
    const state = isFull ? this.host.crdt.encodeState() : undefined
    this.write(() => (state ? rest.replace(state, meta) : rest.append(updates, meta)))
  }

  write(work: (storage: NonNullable<SessionHost['storage']>) => Promise<void>): void {
    const { storage } = this.host
    if (!storage) return
    this.writing = this.writing
      .then(() => work(storage))
      .catch((cause) => this.problem({ code: 'storage', message: 'the document cannot be kept on this device', cause }))
  }
}
