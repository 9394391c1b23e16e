import type { Access } from './connection-state.ts'
import { equalBytes } from './crypto/bytes.ts'
import type { DocumentKeys, RoomKeys } from './crypto/index.ts'
import { decodeServerFrame, helloFrame, keyParamsFrame, type ServerFrame, type Welcome } from './encrypted-frames.ts'
import { EncryptedLog } from './encrypted-log.ts'
import { EncryptedOutbox } from './encrypted-outbox.ts'
import { EncryptedPresence } from './encrypted-presence.ts'
import { EncryptedSnapshots } from './encrypted-snapshots.ts'
import { EncryptedState } from './encrypted-state.ts'
import type { TextMessage } from './link.ts'
import type { Session, SessionHost } from './session.ts'

/**
 * A document that the server cannot read: an ordered log of envelopes, folded into snapshots by its members. Here are joining
 * and keys; the log as it comes in, what is sent, snapshots and presence are parts of their own.
 */
export class EncryptedSession implements Session {
  private readonly state: EncryptedState
  private readonly outbox: EncryptedOutbox
  private readonly log: EncryptedLog
  private readonly snapshots: EncryptedSnapshots
  private readonly presence: EncryptedPresence
  private readonly unsubscribe: () => void
  waitingForEpoch: number | undefined
  private answerParams: ((params: Uint8Array | undefined) => void) | undefined
  private incoming: Promise<void> = Promise.resolve()
  private wake: (() => void) | undefined
  private retryTimer: ReturnType<typeof setTimeout> | undefined
  private keysTimer: ReturnType<typeof setTimeout> | undefined

  constructor(host: SessionHost, keys: DocumentKeys & Partial<RoomKeys>) {
    const state = new EncryptedState(host, keys)
    this.state = state
    this.outbox = new EncryptedOutbox(state)
    const waitForKey = (epoch: number) => this.waitForKey(epoch)
    this.log = new EncryptedLog(state, this.outbox, waitForKey)
    this.snapshots = new EncryptedSnapshots(state, this.outbox, { waitForKey, onLoaded: () => this.arrive() })
    const mayTell = () => state.isOpen && state.access === 'write' && (!keys.parameters || state.params !== undefined)
    this.presence = new EncryptedPresence(host, keys, mayTell)
    this.unsubscribe = host.crdt.onUpdate(this.outbox.add)
    // What the document held before there was a connection is the same as what is written later.
    if (host.crdt.isEmpty?.() === false) this.outbox.addState()
  }

  get synced(): boolean {
    return this.state.synced
  }

  get access(): Access {
    return this.state.access
  }

  get unsaved(): boolean {
    return !this.outbox.isEmpty
  }

  async restore(): Promise<void> {
    this.outbox.restore(await this.state.restore())
  }

  opened(): void {
    const { state } = this
    state.isOpen = true
    state.connection++
    state.welcome = undefined
    state.members = 0
    this.snapshots.opened()
    this.outbox.opened()
    this.presence.opened()
    state.host.link.send(helloFrame(state.place.seq > 0 ? state.place : undefined, [], true))
  }

  binary(bytes: Uint8Array<ArrayBuffer>): void {
    const { state } = this
    const { connection } = state
    let frame: ServerFrame
    try {
      frame = decodeServerFrame(bytes)
    } catch (cause) {
      state.problem({ code: 'unreadable', message: 'the server sent what is no frame', cause })
      return
    }
    // In their order, one after the other: opening takes time, and a snapshot comes before what follows it.
    if (frame.type === 'epoch') this.onEpoch(frame.epoch)
    if (frame.type === 'key-params') this.answerParams?.(frame.params)
    this.incoming = this.incoming.then(async () => {
      if (connection !== state.connection || !state.isOpen) return
      try {
        await this.take(frame)
      } catch (cause) {
        state.problem({ code: 'unreadable', message: 'a frame could not be taken', cause })
      }
    })
  }

  text(message: TextMessage): void {
    if (message.t === 'keys') this.lookForKeys(message.due === true)
    if (message.t !== 'role' || (message.access !== 'read' && message.access !== 'write')) return
    this.state.access = message.access
    this.outbox.send()
    this.state.host.changed()
  }

  lost(): void {
    const { state } = this
    if (!state.isOpen) return
    state.isOpen = false
    state.synced = false
    this.waitingForEpoch = undefined
    state.connection++
    this.wake?.()
    this.answerParams?.(undefined)
    this.answerParams = undefined
    this.presence.lost()
  }

  acceptHistory(): void {
    this.state.place = this.state.start()
    this.log.startOver(undefined)
    this.outbox.oweState()
  }

  async flush(): Promise<void> {
    this.outbox.seal()
    // Without a key nothing can be sealed, and nobody should wait for it.
    if (this.waitingForEpoch === undefined && this.state.welcome) await this.outbox.sealed
    await this.state.writing
  }

  destroy(): void {
    this.outbox.seal()
    this.state.destroyed = true
    this.lost()
    this.outbox.destroy()
    clearTimeout(this.retryTimer)
    clearTimeout(this.keysTimer)
    this.unsubscribe()
    this.presence.destroy()
  }

  private async take(frame: ServerFrame): Promise<void> {
    const { state, outbox, snapshots } = this
    switch (frame.type) {
      case 'welcome':
        return this.onWelcome(frame)
      case 'frames':
        if (await this.log.take(frame.first, frame.frames)) this.arrive()
        return
      case 'ack':
        return outbox.acknowledged(frame.cseq)
      case 'nack':
        return outbox.refused(frame)
      case 'ephemeral':
        if (frame.connection !== state.welcome?.connection)
          await this.presence.receive(frame.connection, frame.envelope)
        return
      case 'roster':
        return this.onRoster(frame.entries)
      case 'key-params':
        if (!state.params) await this.takeParams(frame.params)
        return
      case 'snapshot-chunk':
        return snapshots.takeChunk(frame)
      case 'snapshot-wanted':
        return snapshots.make(frame.lease, frame.seq)
      case 'snapshot-accepted':
        return snapshots.send(frame.seq)
      case 'snapshot-live':
        return snapshots.check(frame.snapshot)
      case 'snapshot-refused':
        return snapshots.refused(frame.seq)
    }
  }

  // ---- joining

  private async onWelcome(welcome: Welcome): Promise<void> {
    const { state } = this
    state.welcome = welcome
    state.access = welcome.access
    state.serverEpoch = welcome.epoch
    if (!(await this.agreeOnKey(welcome))) return
    const before = state.place
    if (before.seq > 0) {
      const isOther =
        !equalBytes(before.incarnation, welcome.incarnation) && before.incarnation.some((byte) => byte > 0)
      if (isOther || welcome.head < before.seq) return state.historyChanged('the server has lost what it had')
    }
    if (welcome.resumed) {
      state.place = { ...before, incarnation: welcome.incarnation }
    } else {
      // The server did not take up where we are. If it goes through that place, it has to be the same history there.
      this.log.startOver(before.seq > welcome.from ? before : undefined)
      state.place = { ...state.start(), incarnation: welcome.incarnation }
      if (welcome.snapshot) return this.snapshots.expect(welcome.snapshot)
    }
    this.arrive()
  }

  /** Some keys come from what the room says about them, such as the salt of a passphrase. */
  private async agreeOnKey({ keyParams, access }: Welcome): Promise<boolean> {
    const { state } = this
    const { keys, host } = state
    if (!keys.parameters) return true
    try {
      const own = await keys.parameters(keyParams)
      if (!own) state.params = keyParams
      else if (access === 'write') {
        // Of several who begin a document one is the first, and its key is everybody's: nothing is sealed or opened before.
        const answer = new Promise<Uint8Array | undefined>((resolve) => {
          this.answerParams = resolve
        })
        host.link.send(keyParamsFrame(own))
        const inForce = await answer
        if (!inForce) return false
        await this.takeParams(inForce)
      }
      return true
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      host.link.refuse(4401, 'wrong_key', message)
      return false
    }
  }

  private async takeParams(params: Uint8Array): Promise<void> {
    await this.state.keys.parameters?.(params)
    this.state.params = params
    // What was derived from a proposal of our own must not be used any more.
    this.log.changeKey()
    this.outbox.changeKey()
    this.presence.changeKey()
  }

  /** Looks whether everything that the server had at the welcome is here. */
  private arrive(): void {
    const { state } = this
    const { welcome, place } = state
    if (!welcome || state.synced || this.snapshots.isLoading || place.seq < welcome.head) return
    if (place.seq === welcome.head && place.seq > 0 && !equalBytes(place.chain, welcome.chain)) {
      state.historyChanged('the server counts another history than it gives')
      return
    }
    state.synced = true
    state.host.link.settled()
    this.outbox.arrived()
    this.presence.arrived()
    state.host.changed()
  }

  private onRoster(entries: { joined: boolean; connection: number }[]): void {
    for (const { joined, connection } of entries) {
      this.state.members += joined ? 1 : -1
      if (!joined) this.presence.left(connection)
    }
  }

  // ---- keys

  /** @returns false when the connection ended first */
  private async waitForKey(epoch: number): Promise<boolean> {
    const { state } = this
    const { connection } = state
    this.waitingForEpoch = epoch
    state.host.changed()
    await new Promise<void>((resolve) => {
      this.wake = resolve
      clearTimeout(this.retryTimer)
      this.retryTimer = setTimeout(resolve, 3_000 + Math.random() * 2_000)
    })
    this.wake = undefined
    clearTimeout(this.retryTimer)
    if (connection !== state.connection) return false
    await state.keys.refresh?.().catch(() => {})
    if (connection !== state.connection) return false
    if (await state.keys.get(epoch).catch(() => undefined)) {
      this.waitingForEpoch = undefined
      state.host.changed()
    }
    return true
  }

  /**
   * The server says that there is something new about the keys. One that is due is replaced by whoever comes first: of many
   * members most wait long enough to hear that it is done.
   */
  private lookForKeys(isDue: boolean): void {
    clearTimeout(this.keysTimer)
    const waitMs = isDue ? Math.random() * Math.min(2_000, 100 * this.state.members) : 0
    this.keysTimer = setTimeout(() => this.refreshKeys(), waitMs)
  }

  private onEpoch(epoch: number): void {
    this.state.serverEpoch = Math.max(this.state.serverEpoch, epoch)
    this.outbox.changeKey()
    this.presence.changeEpoch()
    clearTimeout(this.keysTimer)
    this.refreshKeys()
  }

  private refreshKeys(): void {
    this.state.keys.refresh?.().then(
      () => {
        this.wake?.()
        this.outbox.resealOld()
      },
      () => {},
    )
  }
}
