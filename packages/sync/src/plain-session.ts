import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness'
import * as Y from 'yjs'
import type { Access } from './connection-state.ts'
import type { TextMessage } from './link.ts'
import type { Session, SessionHost } from './session.ts'

const messageSync = 0
const messageAwareness = 1
const messageQueryAwareness = 3
/** Comes back when everything sent before it is durable. */
const messageStatus = 102

/** Changes made within this time are sent together. */
const batchMs = 20
/** Never as much in one frame that the server refuses it. */
const batchBytes = 256 * 1024
const compactAfter = 200

type AwarenessChange = { added: number[]; updated: number[]; removed: number[] }

/** A Yjs document that the server can read: the protocol of `y-websocket`, and the text frames beside it. */
export class PlainSession implements Session {
  synced = false
  access: Access = 'write'
  readonly waitingForEpoch = undefined
  private readonly host: SessionHost
  private readonly doc: Y.Doc
  private readonly origin = { name: '@usher/sync' }
  private isOpen = false
  /** Changes made here, counted; and the count up to which the server has them for good. */
  private version = 0
  private acknowledged = 0
  private asked = 0
  private batch: Uint8Array[] = []
  private timer: ReturnType<typeof setTimeout> | undefined
  private stored = 0
  private writing: Promise<void> = Promise.resolve()

  constructor(host: SessionHost, doc: Y.Doc) {
    this.host = host
    this.doc = doc
    doc.on('update', this.onUpdate)
    host.awareness.on('update', this.onAwareness)
  }

  get unsaved(): boolean {
    return this.acknowledged < this.version
  }

  async restore(): Promise<void> {
    const { storage } = this.host
    if (!storage) return
    const { updates, meta } = await storage.load()
    this.stored = updates.length
    this.doc.transact(() => {
      for (const update of updates) Y.applyUpdate(this.doc, update, this.origin)
    }, this.origin)
    if (meta?.[0] === 1) this.version++
    // What was written while it was being read.
    if (this.unsaved) this.store([Y.encodeStateAsUpdate(this.doc)], 1)
    if (updates.length > compactAfter) this.compact()
  }

  opened(): void {
    this.isOpen = true
    this.asked = this.acknowledged
    this.synced = false
    this.frame(messageSync, (encoder) => {
      encoding.writeVarUint(encoder, 0)
      encoding.writeVarUint8Array(encoder, Y.encodeStateVector(this.doc))
    })
    const { awareness } = this.host
    if (awareness.getLocalState() !== null) this.sendAwareness([awareness.clientID])
  }

  binary(bytes: Uint8Array<ArrayBuffer>): void {
    const decoder = decoding.createDecoder(bytes)
    switch (decoding.readVarUint(decoder)) {
      case messageSync:
        this.sync(decoding.readVarUint(decoder), decoding.readVarUint8Array(decoder))
        break
      case messageAwareness:
        applyAwarenessUpdate(this.host.awareness, decoding.readVarUint8Array(decoder), this)
        break
      case messageQueryAwareness:
        this.sendAwareness([...this.host.awareness.getStates().keys()])
        break
      case messageStatus:
        this.acknowledged = decoding.readVarUint(decoding.createDecoder(decoding.readVarUint8Array(decoder)))
        if (!this.unsaved) this.store([], 0)
        this.askForStatus()
        this.host.changed()
        break
    }
  }

  text(message: TextMessage): void {
    if (message.t !== 'role' || (message.access !== 'read' && message.access !== 'write')) return
    const regained = this.access === 'read' && message.access === 'write'
    this.access = message.access
    // What was written without the right was not taken: the server has to be asked what it lacks.
    if (regained) this.host.link.restart()
    this.host.changed()
  }

  lost(): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.synced = false
    this.batch = []
    clearTimeout(this.timer)
    this.timer = undefined
    const { awareness } = this.host
    const others = [...awareness.getStates().keys()].filter((id) => id !== awareness.clientID)
    removeAwarenessStates(awareness, others, this)
  }

  acceptHistory(): void {}

  async flush(): Promise<void> {
    this.send()
    await this.writing
  }

  destroy(): void {
    this.send()
    this.lost()
    this.doc.off('update', this.onUpdate)
    this.host.awareness.off('update', this.onAwareness)
  }

  private sync(step: number, body: Uint8Array): void {
    if (step === 0) {
      // Everything that the server lacks, made offline or not.
      const update = Y.encodeStateAsUpdate(this.doc, body)
      this.batch = []
      if (this.access === 'write' && !isEmpty(update)) {
        this.frame(messageSync, (encoder) => {
          encoding.writeVarUint(encoder, 1)
          encoding.writeVarUint8Array(encoder, update)
        })
      }
      this.askForStatus()
      return
    }
    Y.applyUpdate(this.doc, body, this)
    if (step === 1 && !this.synced) {
      this.synced = true
      this.host.link.settled()
      this.host.changed()
    }
  }

  private readonly onUpdate = (update: Uint8Array, origin: unknown): void => {
    if (origin === this.origin) return
    const isOurs = origin !== this
    this.store([update], isOurs ? 1 : undefined)
    if (!isOurs) return
    this.version++
    if (this.isOpen && this.access === 'write') {
      this.batch.push(update)
      this.timer ??= setTimeout(() => this.send(), batchMs)
    }
    if (this.version === this.acknowledged + 1) this.host.changed()
  }

  private send(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    if (!this.isOpen || this.batch.length === 0) return
    const updates = this.batch
    this.batch = []
    const size = updates.reduce((sum, update) => sum + update.length, 0)
    for (const update of size > batchBytes ? updates : [Y.mergeUpdates(updates)])
      this.frame(messageSync, (encoder) => {
        encoding.writeVarUint(encoder, 2)
        encoding.writeVarUint8Array(encoder, update)
      })
    this.askForStatus()
  }

  /** One question at a time: its answer says how far everything is durable. */
  private askForStatus(): void {
    const isAsking = this.asked > this.acknowledged
    if (!this.isOpen || isAsking || !this.unsaved || this.batch.length > 0) return
    // What the server does not take from a reader is not saved by being sent.
    if (this.access === 'read') return
    this.asked = this.version
    this.frame(messageStatus, (encoder) => {
      const version = encoding.encode((inner) => encoding.writeVarUint(inner, this.asked))
      encoding.writeVarUint8Array(encoder, version)
    })
  }

  private readonly onAwareness = ({ added, updated, removed }: AwarenessChange, origin: unknown): void => {
    // What others said comes from the server: it need not hear it again.
    if (origin !== this) this.sendAwareness([...added, ...updated, ...removed])
  }

  private sendAwareness(ids: number[]): void {
    const { awareness } = this.host
    const own = ids.filter((id) => id === awareness.clientID)
    if (own.length === 0) return
    this.frame(messageAwareness, (encoder) =>
      encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(awareness, own)),
    )
  }

  private frame(type: number, write: (encoder: encoding.Encoder) => void): void {
    if (!this.isOpen) return
    this.host.link.send(
      encoding.encode((encoder) => {
        encoding.writeVarUint(encoder, type)
        write(encoder)
      }),
    )
  }

  private store(updates: Uint8Array[], unsaved?: 0 | 1): void {
    const { storage, problem } = this.host
    if (!storage) return
    this.stored += updates.length
    const meta = unsaved === undefined ? undefined : Uint8Array.of(unsaved)
    this.writing = Promise.all([this.writing, storage.append(updates, meta)]).then(
      () => {},
      (cause) => problem({ code: 'storage', message: 'the document cannot be kept on this device', cause }),
    )
    if (this.stored > compactAfter) this.compact()
  }

  private compact(): void {
    const { storage, problem } = this.host
    if (!storage) return
    this.stored = 1
    this.writing = Promise.all([this.writing, storage.replace(Y.encodeStateAsUpdate(this.doc))]).then(
      () => {},
      (cause) => problem({ code: 'storage', message: 'the document cannot be kept on this device', cause }),
    )
  }
}

const isEmpty = (update: Uint8Array) => update.length === 2 && update[0] === 0 && update[1] === 0
