import { Awareness, removeAwarenessStates } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { type Channel, type ChannelEvents, type ChannelOptions, ChannelSet } from './channels.ts'
import type { Access, ConnectionState } from './connection-state.ts'
import { type Crdt, yjsCrdt } from './crdt.ts'
import type { DocumentKeys, RoomKeys } from './crypto/index.ts'
import { Emitter } from './emitter.ts'
import { createChannelSeal } from './encrypted-channel.ts'
import { EncryptedSession } from './encrypted-session.ts'
import { Link } from './link.ts'
import { PlainSession } from './plain-session.ts'
import type { Session, SessionHost, SyncProblem } from './session.ts'
import type { OpenStorage } from './storage.ts'
import type { GetToken } from './token.ts'
import { addressOf, type WebSocketConstructor } from './token-web-socket.ts'

export type ConnectOptions = {
  /** That of the server, e.g. `wss://realtime.example.com/sync`; the document's id comes behind it. */
  url: string
  docId: string
  /** One token that everybody has who may connect. */
  token?: string
  /** A token for this person and document; asked for before each connection, and when one is about to expire. */
  getToken?: GetToken
  /** The document's keys, e.g. `passphraseKeys()` or `linkKeys()`: with them the server sees nothing but bytes. */
  key?: DocumentKeys | RoomKeys
  /** Undefined: a Y.Doc of its own. Another CRDT than Yjs needs `key`: the server does not know it. */
  doc?: Y.Doc | Crdt
  /** Who is here, and what they do. Undefined: one of its own. */
  awareness?: Awareness
  /** Keeps the document on this device, e.g. `indexedDbStorage()`. What is encrypted stays so. */
  storage?: OpenStorage
  /** With a `key`: the server sees the order of magnitude of a change's size and no more, for at most 12 % more bytes (E-6). */
  padding?: boolean
  /** Of the `ws` package, where there is no global one (Node 20). */
  WebSocket?: WebSocketConstructor
  /** False: nothing happens before `connect()`. */
  autoConnect?: boolean
  /** Times between attempts. */
  backoff?: { minMs?: number; maxMs?: number }
}

type Events = {
  state: ConnectionState
  /** Whether everything made here is durable on the server. */
  unsaved: boolean
  problem: SyncProblem
}

/** One document, kept in step with a server. */
export type SyncConnection = {
  readonly docId: string
  /** The Yjs document; one without content when the document is made of something else. */
  readonly doc: Y.Doc
  readonly awareness: Awareness
  readonly state: ConnectionState
  /** True as long as the server has not said that everything made here is durable. */
  readonly unsaved: boolean
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => void): () => void
  /** What lies on this device is in the document. At once without `storage`. */
  readonly restored: Promise<void>
  /** Everything that the server has is here. Rejects when the connection stops first. */
  whenSynced(): Promise<void>
  /** Everything made here up to now is durable. Rejects when the connection stops first. */
  whenSaved(): Promise<void>
  connect(): void
  disconnect(): void
  /**
   * After `stopped` with `history_changed`: the server no longer has what it had (a restored backup, or a server that
   * lies). Takes its history, adds to it what this device has, and connects.
   */
  acceptHistory(): void
  /**
   * The document's own channel: messages beside its content, e.g. chat or reactions, on the same socket. Of an encrypted
   * document they are sealed under its key, and so is what members say of themselves; the server sees the events' names.
   */
  channel<Events extends ChannelEvents = ChannelEvents>(options?: ChannelOptions): Channel<Events>
  /** Ends everything and tells the others that this client is gone. The document stays usable. */
  destroy(): void
  /** Removes the document from this device, and ends everything. */
  forget(): Promise<void>
}

/** Connects a document. Never throws for what a network does: `state` tells. */
export function connect(options: ConnectOptions): SyncConnection {
  const { url, docId, key, token, getToken, WebSocket } = options
  const isYjs = options.doc === undefined || options.doc instanceof Y.Doc
  const ownDoc = isYjs && options.doc === undefined
  const doc = isYjs ? ((options.doc as Y.Doc | undefined) ?? new Y.Doc()) : new Y.Doc()
  if (!isYjs && !key) throw new TypeError('Documents that are not Yjs are for encrypted rooms: pass a key.')
  const awareness = options.awareness ?? new Awareness(doc)
  const events = new Emitter<Events>()
  let state: ConnectionState = { status: 'offline' }
  let unsaved = false
  let destroyed = false
  let wanted = options.autoConnect ?? true
  let ready = false

  const link: Link = new Link({
    docId,
    address: (given) => addressOf(given ?? url, docId).href,
    protocol: key ? 'usher.encrypted.v1' : 'usher.v1',
    token,
    getToken,
    WebSocket,
    backoff: options.backoff,
    onState(now) {
      if (now.status !== 'open') {
        session.lost()
        channels.lost()
      }
      update()
    },
    onOpen() {
      session.opened()
      // Nothing is said in an encrypted document's channel before its key is certain, which `update` sees.
      if (!key) channels.opened()
    },
    onBinary: (bytes) => session.binary(bytes),
    onText(message) {
      if (!channels.receive(message)) session.text(message)
    },
  })
  const sealed = key && {
    seal: () => createChannelSeal({ keys: key, room: docId, padding: options.padding ?? false }),
    unreadable: (cause: unknown) =>
      events.emit('problem', {
        code: 'unreadable',
        message: 'a message of the channel could not be opened, and is left out',
        cause,
      }),
  }
  const channels = new ChannelSet((frame) => link.send(frame), sealed)

  const host: SessionHost = {
    docId,
    link,
    crdt: isYjs ? yjsCrdt(doc) : (options.doc as Crdt),
    awareness,
    storage: undefined,
    padding: options.padding ?? false,
    changed: update,
    problem: (problem) => events.emit('problem', problem),
  }
  // At once: what is written from now on counts.
  const session: Session = key ? new EncryptedSession(host, key) : new PlainSession(host, doc)
  unsaved = session.unsaved
  const opening = (async () => {
    const storage = await options.storage?.(`${url.replace(/\/+$/, '')}/${docId}`)
    if (destroyed) return storage?.close()
    host.storage = storage
    await session.restore()
    return storage
  })()
  const restored = opening.then(
    () => {},
    (cause) => events.emit('problem', { code: 'storage', message: 'what lies on this device cannot be read', cause }),
  )
  restored.then(() => {
    ready = true
    update()
    if (wanted && !destroyed) link.start()
  })

  function update(): void {
    const before = state
    state = stateOf(link, session)
    if (key && session.synced && link.state.status === 'open') channels.opened()
    if (JSON.stringify(before) !== JSON.stringify(state)) events.emit('state', state)
    const isUnsaved = session.unsaved
    if (unsaved !== isUnsaved) {
      unsaved = isUnsaved
      events.emit('unsaved', unsaved)
    }
  }

  function when(isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const stopped = state.status === 'stopped' ? state : undefined
        if (!stopped && !destroyed && !(ready && isSo())) return
        end()
        if (destroyed || stopped) reject(new Error(stopped ? `${stopped.reason}: ${stopped.message}` : 'destroyed'))
        else resolve()
      }
      const ends = [events.on('state', look), events.on('unsaved', look)]
      const end = () => {
        for (const each of ends) each()
      }
      restored.then(look)
    })
  }

  return {
    docId,
    doc,
    awareness,
    get state() {
      return state
    },
    get unsaved() {
      return unsaved
    },
    on: (name, listener) => events.on(name, listener),
    restored,
    whenSynced: () => when(() => state.status === 'connected' && state.synced),
    whenSaved: async () => {
      await session.flush()
      return when(() => !session.unsaved)
    },
    connect() {
      wanted = true
      if (ready && !destroyed) link.start()
    },
    disconnect() {
      wanted = false
      link.stop()
    },
    acceptHistory() {
      session.acceptHistory()
      this.connect()
    },
    channel(channelOptions = {}) {
      return channels.open('', channelOptions)
    },
    destroy() {
      if (destroyed) return
      if (!options.awareness) removeAwarenessStates(awareness, [awareness.clientID], 'destroyed')
      destroyed = true
      session.destroy()
      channels.end()
      link.stop()
      update()
      events.clear()
      opening.then((storage) => session.flush().finally(() => storage?.close())).catch(() => {})
      if (!options.awareness) awareness.destroy()
      if (ownDoc) doc.destroy()
    },
    async forget() {
      const storage = await opening.catch(() => undefined)
      await session.flush()
      session.destroy()
      await storage?.clear()
      this.destroy()
    },
  }
}

function stateOf({ state }: Link, session: Session): ConnectionState {
  if (state.status !== 'open') return state
  const access: Access = session.access
  if (session.waitingForEpoch !== undefined)
    return { status: 'waiting-for-key', access, epoch: session.waitingForEpoch }
  return { status: 'connected', access, synced: session.synced }
}
