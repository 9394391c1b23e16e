import { applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness'
import { concat } from './crypto/bytes.ts'
import {
  createReceiver,
  createSender,
  type DocumentKeys,
  envelopeKind,
  type Receiver,
  type Sender,
} from './crypto/index.ts'
import { ephemeralFrame } from './encrypted-frames.ts'
import { paddingFlags } from './envelopes.ts'
import type { SessionHost } from './session.ts'

const pauseMs = 50
const kinds = { awareness: 1, query: 3 }

type AwarenessChange = { added: number[]; updated: number[]; removed: number[] }

/** Who is in an encrypted document: told in envelopes that the server passes on and nobody keeps. */
export class EncryptedPresence {
  private readonly host: SessionHost
  private readonly keys: DocumentKeys
  private readonly mayTell: () => boolean
  private receiver: Receiver
  private sender: Promise<Sender> | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  /** Grows with each connection: what was sealed for one is not sent on another. */
  private connection = 0
  private isHere = false
  /** The clients behind each connection of others. */
  private readonly others = new Map<number, Set<number>>()
  /** Whose presence this connection tells: its own, or that of a client behind it. */
  private readonly spoken = new Set<number>()

  /** @param mayTell whether the connection can take an envelope now */
  constructor(host: SessionHost, keys: DocumentKeys, mayTell: () => boolean) {
    this.host = host
    this.keys = keys
    this.mayTell = mayTell
    this.receiver = createReceiver({ keys, room: host.docId })
    host.awareness.on('update', this.onChange)
    if (host.awareness.getLocalState() !== null) this.spoken.add(host.awareness.clientID)
  }

  /** A connection is open. */
  opened(): void {
    this.connection++
    this.others.clear()
    this.changeKey()
  }

  /** What was derived from a key must not be used any more. */
  changeKey(): void {
    this.sender = undefined
    this.receiver = createReceiver({ keys: this.keys, room: this.host.docId })
  }

  /** There is another epoch to seal under; what others sealed before can still be opened. */
  changeEpoch(): void {
    this.sender = undefined
  }

  /** The document is here: tells who is on this side, and asks who else is. */
  arrived(): void {
    this.isHere = true
    this.send(Uint8Array.of(kinds.query))
    this.announce()
  }

  /** The connection is gone, and with it everybody who was known by it. */
  lost(): void {
    this.connection++
    this.isHere = false
    clearTimeout(this.timer)
    this.timer = undefined
    const { awareness } = this.host
    const others = [...awareness.getStates().keys()].filter((id) => !this.spoken.has(id))
    removeAwarenessStates(awareness, others, this)
  }

  destroy(): void {
    this.host.awareness.off('update', this.onChange)
  }

  /** An envelope of another connection. What cannot be opened is nobody's presence. */
  async receive(connection: number, envelope: Uint8Array): Promise<void> {
    const opened = await this.receiver.open(envelope).catch(() => undefined)
    if (opened?.kind !== envelopeKind.ephemeral) return
    const { plaintext } = opened
    if (plaintext[0] === kinds.query) this.announceSoon()
    if (plaintext[0] !== kinds.awareness) return
    const seen = this.others.get(connection) ?? new Set()
    this.others.set(connection, seen)
    const note = ({ added, updated }: AwarenessChange) => {
      for (const id of [...added, ...updated]) seen.add(id)
    }
    this.host.awareness.on('update', note)
    try {
      applyAwarenessUpdate(this.host.awareness, plaintext.slice(1), this)
    } finally {
      this.host.awareness.off('update', note)
    }
  }

  /** A connection of somebody else has ended. */
  left(connection: number): void {
    removeAwarenessStates(this.host.awareness, [...(this.others.get(connection) ?? [])], this)
    this.others.delete(connection)
  }

  private readonly onChange = ({ added, updated, removed }: AwarenessChange, origin: unknown): void => {
    // What others said, or did not say for long, is not ours to tell.
    if (origin === this || origin === 'timeout') return
    for (const id of [...added, ...updated, ...removed]) this.spoken.add(id)
    if (!this.isHere) return
    if (removed.length > 0) this.announce()
    else this.announceSoon()
  }

  private announceSoon(): void {
    this.timer ??= setTimeout(() => this.announce(), pauseMs)
  }

  private announce(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    const { awareness } = this.host
    const known = [...this.spoken].filter((id) => awareness.meta.has(id))
    if (known.length === 0) return
    this.send(concat(Uint8Array.of(kinds.awareness), encodeAwarenessUpdate(awareness, known)))
    for (const id of known) if (!awareness.states.has(id)) this.spoken.delete(id)
  }

  private send(plaintext: Uint8Array): void {
    if (!this.mayTell()) return
    const { connection } = this
    this.sender ??= this.keys.current().then(({ key, epoch }) => createSender({ key, epoch, room: this.host.docId }))
    this.sender
      .then((sender) => sender.seal(envelopeKind.ephemeral, plaintext, paddingFlags(this.host)))
      .then(
        (envelope) => connection === this.connection && this.host.link.send(ephemeralFrame(envelope)),
        () => {
          this.sender = undefined
        },
      )
  }
}
