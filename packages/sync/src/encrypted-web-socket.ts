import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { connect, type SyncConnection } from './connect.ts'
import type { DocumentKeys, RoomKeys } from './crypto/index.ts'
import type { OpenStorage } from './storage.ts'
import type { GetToken } from './token.ts'
import { docIdOf, type WebSocketConstructor } from './token-web-socket.ts'

type Options = {
  /** The document's keys, e.g. `passphraseKeys()`. Asked once for each document. */
  getKey: (docId: string) => Promise<DocumentKeys | RoomKeys> | DocumentKeys | RoomKeys
  /** Undefined: the `token` in the provider's `params`, or none. */
  getToken?: GetToken
  WebSocket?: WebSocketConstructor
  storage?: OpenStorage
}

/** One line to the server, kept while the provider above it comes and goes. */
type Line = { connection: SyncConnection; doc: Y.Doc; awareness: Awareness; expiry?: ReturnType<typeof setTimeout> }

type Handler = ((event: unknown) => void) | null
type AwarenessChange = { added: number[]; updated: number[]; removed: number[] }

const keepaliveMs = 10_000
/** A provider that does not come back for this long is not coming back. */
const keptMs = 60_000
const keepalive = Uint8Array.of(1, 1, 0)

/**
 * A class for the `WebSocketPolyfill` option of the unmodified `y-websocket` client that encrypts everything between it
 * and the server. The provider believes that it talks to a server of its own; what leaves is sealed.
 *
 * Give the provider `disableBc: true`: otherwise it passes the plaintext to other tabs of the browser.
 */
export function encryptedWebSocket(options: Options): typeof WebSocket {
  const idle = new Map<string, Line[]>()

  async function lineTo(url: string, docId: string, token: string | undefined): Promise<Line> {
    const name = `${url} ${docId} ${token ?? ''}`
    const kept = idle.get(name)?.pop()
    if (kept) {
      clearTimeout(kept.expiry)
      return kept
    }
    const key = await options.getKey(docId)
    const doc = new Y.Doc()
    const awareness = new Awareness(doc)
    awareness.setLocalState(null)
    const { getToken, WebSocket, storage } = options
    const connection = connect({
      url,
      docId,
      key,
      token,
      getToken,
      WebSocket,
      storage,
      doc,
      awareness,
      autoConnect: false,
    })
    return { connection, doc, awareness }
  }

  function release(url: string, docId: string, token: string | undefined, line: Line): void {
    const name = `${url} ${docId} ${token ?? ''}`
    line.connection.disconnect()
    const others = idle.get(name) ?? []
    idle.set(name, others)
    others.push(line)
    line.expiry = setTimeout(() => {
      others.splice(others.indexOf(line), 1)
      line.connection.destroy()
      line.awareness.destroy()
      line.doc.destroy()
    }, keptMs)
    // Node and Bun end, although somebody could still come back.
    ;(line.expiry as { unref?: () => void }).unref?.()
  }

  class EncryptedWebSocket {
    static readonly CONNECTING = 0
    static readonly OPEN = 1
    static readonly CLOSING = 2
    static readonly CLOSED = 3
    readonly CONNECTING = 0
    readonly OPEN = 1
    readonly CLOSING = 2
    readonly CLOSED = 3

    onopen: Handler = null
    onmessage: Handler = null
    onerror: Handler = null
    onclose: Handler = null
    binaryType = 'arraybuffer'
    readyState = 0
    readonly bufferedAmount = 0
    private line: Line | undefined
    private timer: ReturnType<typeof setInterval> | undefined
    private ends: (() => void)[] = []
    private readonly origin = { name: 'y-websocket' }
    private readonly docId: string
    private readonly server: string
    private readonly token: string | undefined
    /** Clients that the provider spoke for. */
    private readonly spoken = new Set<number>()

    constructor(url: string | URL) {
      const address = new URL(url)
      this.docId = docIdOf(address)
      this.token = address.searchParams.get('token') ?? undefined
      const { origin, pathname } = address
      this.server = `${origin === 'null' ? `${address.protocol}//${address.host}` : origin}${pathname.slice(0, pathname.indexOf('/sync/') + 5)}`
      this.begin()
    }

    send(data: Uint8Array<ArrayBuffer> | ArrayBuffer): void {
      const { line } = this
      if (!line || this.readyState !== 1) return
      const decoder = decoding.createDecoder(new Uint8Array(data))
      switch (decoding.readVarUint(decoder)) {
        case 0: {
          const step = decoding.readVarUint(decoder)
          const body = decoding.readVarUint8Array(decoder)
          if (step === 0) this.deliver(0, 1, Y.encodeStateAsUpdate(line.doc, body))
          else Y.applyUpdate(line.doc, body, this.origin)
          return
        }
        case 1:
          applyAwarenessUpdate(line.awareness, decoding.readVarUint8Array(decoder), this.origin)
          return
        case 3:
          this.showPresence([...line.awareness.getStates().keys()])
      }
    }

    close(code = 1000, reason = ''): void {
      this.end(code, reason)
    }

    private async begin(): Promise<void> {
      let line: Line
      try {
        line = await lineTo(this.server, this.docId, this.token)
      } catch (error) {
        return this.end(1006, error instanceof Error ? error.message : '')
      }
      if (this.readyState !== 0) return release(this.server, this.docId, this.token, line)
      this.line = line
      this.ends.push(
        line.connection.on('state', (state) => {
          if (state.status === 'connected' && state.synced) this.open(line)
          // The provider has its own way of coming back.
          if (state.status === 'waiting' || state.status === 'stopped') this.end(state.code, state.message)
        }),
      )
      line.connection.connect()
    }

    private open(line: Line): void {
      if (this.readyState !== 0) return
      this.readyState = 1
      const onUpdate = (update: Uint8Array, origin: unknown) => {
        if (origin !== this.origin) this.deliver(0, 2, update)
      }
      const onAwareness = ({ added, updated, removed }: AwarenessChange, origin: unknown) => {
        const changed = [...added, ...updated, ...removed]
        if (origin !== this.origin) this.showPresence(changed)
        else for (const id of changed) if (line.awareness.states.has(id)) this.spoken.add(id)
      }
      line.doc.on('update', onUpdate)
      line.awareness.on('update', onAwareness)
      this.ends.push(
        () => line.doc.off('update', onUpdate),
        () => line.awareness.off('update', onAwareness),
      )
      this.timer = setInterval(() => this.onmessage?.({ data: keepalive.slice().buffer }), keepaliveMs)
      this.onopen?.({ type: 'open' })
      // What the provider has and the server does not comes as the answer.
      this.deliver(0, 0, Y.encodeStateVector(line.doc))
      this.showPresence([...line.awareness.getStates().keys()])
    }

    private showPresence(ids: number[]): void {
      if (!this.line || ids.length === 0) return
      this.deliver(1, undefined, encodeAwarenessUpdate(this.line.awareness, ids))
    }

    private deliver(type: number, step: number | undefined, body: Uint8Array): void {
      const frame = encoding.encode((encoder) => {
        encoding.writeVarUint(encoder, type)
        if (step !== undefined) encoding.writeVarUint(encoder, step)
        encoding.writeVarUint8Array(encoder, body)
      })
      if (this.readyState === 1) this.onmessage?.({ data: frame.slice().buffer })
    }

    private end(code: number, reason: string): void {
      if (this.readyState === 3) return
      this.readyState = 3
      clearInterval(this.timer)
      for (const end of this.ends) end()
      if (this.line) {
        removeAwarenessStates(this.line.awareness, [...this.spoken], this.origin)
        release(this.server, this.docId, this.token, this.line)
      }
      this.onclose?.({ type: 'close', code, reason, wasClean: code !== 1006 })
    }
  }
  return EncryptedWebSocket as unknown as typeof WebSocket
}
