import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { createReceiver, createSender, type DocumentKeys, envelopeKind, type Sender } from './crypto/index.ts'
import type { Place } from './encrypted-frames.ts'
import type { DocumentStorage } from './storage.ts'

/** What lies on the device beside the updates: `params` in clear (they lead to the key), the place in the log sealed. */
export type RestMeta = { params: Uint8Array | undefined; place: Place | undefined }

/** Seals what is put on this device, under the document's key and apart from everything that is sent. */
export class Rest {
  private readonly storage: DocumentStorage
  private readonly keys: DocumentKeys
  private readonly room: string
  private sender: Sender | undefined
  private stored = 0

  constructor(storage: DocumentStorage, keys: DocumentKeys, docId: string) {
    this.storage = storage
    this.keys = keys
    // No document's id has a space: nothing from here opens there, or the other way round.
    this.room = `${docId} at rest`
  }

  /** How many updates lie there. */
  get size(): number {
    return this.stored
  }

  /** @param onParams is given what leads to the key, before the key is asked for */
  async load(onParams: (params: Uint8Array | undefined) => Promise<void>) {
    const { updates, meta, outbox } = await this.storage.load()
    this.stored = updates.length
    if (!meta) return { updates: [], params: undefined, place: undefined, outbox }
    const decoder = decoding.createDecoder(meta)
    const params = decoding.readVarUint8Array(decoder)
    await onParams(params.length > 0 ? params.slice() : undefined)
    const receiver = createReceiver({ keys: this.keys, room: this.room })
    const opened = await Promise.all(updates.map((bytes) => receiver.open(bytes)))
    const sealed = decoding.readVarUint8Array(decoder)
    const place = sealed.length > 0 ? decodePlace((await this.receiverOfPlaces().open(sealed)).plaintext) : undefined
    return { updates: opened.map(({ plaintext }) => plaintext), params, place, outbox }
  }

  async append(updates: Uint8Array[], { params, place }: RestMeta): Promise<void> {
    const sender = await this.current()
    const sealed = await Promise.all(updates.map((update) => sender.seal(envelopeKind.update, update)))
    this.stored += sealed.length
    await this.storage.append(sealed, await this.meta(params, place))
  }

  async replace(state: Uint8Array, { params, place }: RestMeta): Promise<void> {
    const sender = await this.current()
    await this.storage.replace(await sender.seal(envelopeKind.update, state), await this.meta(params, place))
    this.stored = 1
  }

  private async meta(params: Uint8Array | undefined, place: Place | undefined): Promise<Uint8Array> {
    const sealed = place ? await (await this.current()).seal(envelopeKind.snapshot, encodePlace(place)) : undefined
    return encoding.encode((encoder) => {
      encoding.writeVarUint8Array(encoder, params ?? new Uint8Array(0))
      encoding.writeVarUint8Array(encoder, sealed ?? new Uint8Array(0))
    })
  }

  /** The place was sealed before the updates that were added after it, and by the same sender: it has its own order. */
  private receiverOfPlaces() {
    return createReceiver({ keys: this.keys, room: this.room })
  }

  private async current(): Promise<Sender> {
    const { key, epoch } = await this.keys.current()
    if (!this.sender || this.sender.epoch !== epoch || this.sender.remaining < 1000)
      this.sender = createSender({ key, epoch, room: this.room })
    return this.sender
  }
}

function encodePlace({ incarnation, seq, chain }: Place): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeUint8Array(encoder, incarnation)
    encoding.writeVarUint(encoder, seq)
    encoding.writeUint8Array(encoder, chain)
  })
}

function decodePlace(bytes: Uint8Array): Place {
  const decoder = decoding.createDecoder(bytes as Uint8Array<ArrayBuffer>)
  const incarnation = decoding.readUint8Array(decoder, 16).slice()
  return { incarnation, seq: decoding.readVarUint(decoder), chain: decoding.readUint8Array(decoder, 32).slice() }
}
