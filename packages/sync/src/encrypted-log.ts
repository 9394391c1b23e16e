import { equalBytes } from './crypto/bytes.ts'
import {
  CryptoError,
  createReceiver,
  decodeContent,
  envelopeKind,
  extendChain,
  parseEnvelope,
  type Receiver,
} from './crypto/index.ts'
import type { Place } from './encrypted-frames.ts'
import type { EncryptedOutbox } from './encrypted-outbox.ts'
import type { EncryptedState } from './encrypted-state.ts'
import { idOf, type Settled, settle } from './envelopes.ts'

/** The server's log of envelopes, as it comes in. */
export class EncryptedLog {
  private readonly state: EncryptedState
  private readonly outbox: EncryptedOutbox
  private readonly waitForKey: (epoch: number) => Promise<boolean>
  private receiver: Receiver
  /** What was known before a server that did not take up there: it has to come by it again. */
  private remembered: Place | undefined

  constructor(state: EncryptedState, outbox: EncryptedOutbox, waitForKey: (epoch: number) => Promise<boolean>) {
    this.state = state
    this.outbox = outbox
    this.waitForKey = waitForKey
    this.receiver = this.newReceiver()
  }

  /** What was derived from another key must not be used any more. */
  changeKey(): void {
    this.receiver = this.newReceiver()
  }

  /** From its first entry on. @param before where this client was, and has to come by again */
  startOver(before: Place | undefined): void {
    this.remembered = before
    this.state.chains.clear()
    this.receiver = this.newReceiver()
  }

  private newReceiver(): Receiver {
    return createReceiver({ keys: this.state.keys, room: this.state.host.docId })
  }

  /** @returns whether all of it is in the document now */
  async take(first: number, frames: { envelope: Uint8Array }[]): Promise<boolean> {
    const { state } = this
    const { connection } = state
    const known = Math.max(0, state.place.seq + 1 - first)
    const fresh = frames.slice(known).map(({ envelope }) => envelope)
    if (fresh.length === 0) return false
    const start = first + known
    if (start !== state.place.seq + 1) {
      // A hole in the log can only be filled by asking for it.
      state.host.link.restart()
      return false
    }
    const ids = fresh.map(idOf)
    const own = this.outbox.ids
    const chains = await extendChain(state.place.chain, start, fresh)
    const opening = fresh.map((envelope, i) =>
      own.has(ids[i] as string) ? undefined : settle(this.receiver.open(envelope)),
    )
    const applied: Uint8Array[] = []
    const stop = () => {
      state.store(applied)
      return false
    }
    for (const [i, envelope] of fresh.entries()) {
      const seq = start + i
      let result = await opening[i]
      while (result?.error instanceof CryptoError && result.error.code === 'unknown_key') {
        const { epoch } = parseEnvelope(envelope)
        // With one key several come, and this was tried before they did.
        const isHere = await state.keys.get(epoch).catch(() => undefined)
        if ((!isHere && !(await this.waitForKey(epoch))) || connection !== state.connection) return stop()
        result = await settle(this.receiver.open(envelope))
      }
      if (connection !== state.connection) return stop()
      state.moveTo({ ...state.place, seq, chain: chains[i] as Uint8Array })
      if (result) this.apply(seq, result, applied)
      if (this.remembered?.seq === seq && !equalBytes(this.remembered.chain, state.place.chain)) {
        state.historyChanged('the server has changed what it had')
        return false
      }
    }
    this.outbox.seen(ids)
    state.store(applied)
    return true
  }

  private apply(seq: number, { opened, error }: Settled, applied: Uint8Array[]): void {
    if (error instanceof CryptoError && error.code === 'repeated') return
    const { state } = this
    const { crdt } = state.host
    try {
      if (!opened) throw error
      if (opened.kind === envelopeKind.keyRecord) state.keys.record?.(opened.plaintext)
      if (opened.kind !== envelopeKind.update) return
      const { type, seq: seen, chain, data } = decodeContent(opened.plaintext)
      if (type !== crdt.contentType) throw new Error('this is another kind of document')
      const ours = state.chains.get(seen)
      if (seen >= seq || (ours && !equalBytes(ours, chain)))
        state.problem({ code: 'history_forked', message: 'its author saw another history than this', seq })
      crdt.check?.(data)
      crdt.apply(data)
      applied.push(data)
    } catch (cause) {
      state.sawUnreadable = true
      state.problem({ code: 'unreadable', message: 'a change cannot be read', seq, cause })
    }
  }
}
