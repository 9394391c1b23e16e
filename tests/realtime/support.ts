import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { startUsher, type UsherProcess } from '../support/usher.ts'

/** Starts the realtime plane alone, as an operator does. */
export async function startSyncServer(options: { args?: string[]; env?: Record<string, string>; data?: string } = {}) {
  const server = await startUsher({ ...options, command: ['sync-server', 'start'] })
  return { ...server, wsUrl: server.ready.url, [Symbol.asyncDispose]: server[Symbol.asyncDispose] }
}
export type SyncServerProcess = Awaited<ReturnType<typeof startSyncServer>>
export type { UsherProcess }

/** Limits under which a test may talk as fast as it can. */
export const generous = {
  USHER_SYNC_LIMITS:
    'messagesPerSecond=1000000,messagesBurst=1000000,bytesPerSecond=1000000000,bytesBurst=1000000000,upgradesPerIpPerSecond=10000,upgradesPerIpBurst=10000',
}

type Options = {
  params?: Record<string, string>
  provider?: typeof WebsocketProvider
  doc?: Y.Doc
  headers?: HeadersInit
}

/** A stock client. No BroadcastChannel: what two clients share must have been on the server. */
export function connect(
  url: string,
  docId: string,
  { params = {}, provider = WebsocketProvider, doc = new Y.Doc(), headers }: Options = {},
) {
  const closes: { code: number; reason: string }[] = []
  const client = new provider(url, docId, doc, {
    params,
    disableBc: true,
    WebSocketPolyfill: (headers ? withHeaders(headers) : WebSocket) as typeof WebSocket,
  })
  client.on('connection-close', (event) => {
    if (event) closes.push({ code: event.code, reason: event.reason })
  })
  return {
    doc,
    client,
    closes,
    synced: () => until(() => client.synced, 'synced'),
    closed: () => until(() => closes.length > 0, 'closed'),
    [Symbol.dispose]: () => {
      client.destroy()
      doc.destroy()
    },
  }
}

/** A WebSocket that sends further headers: a browser sends Origin by itself, Bun does not. */
export function withHeaders(headers: HeadersInit) {
  return class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, { headers: headers as never, ...(protocols?.length && { protocols }) } as never)
    }
  }
}

export async function until(condition: () => boolean, what: string, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not ${what} within ${ms} ms`)
    await Bun.sleep(5)
  }
}

export type RawSocket = {
  socket: WebSocket
  frames: Uint8Array[]
  opened: Promise<void>
  /** Code and reason, once it is closed. */
  closed: Promise<{ code: number; reason: string }>
}

/** A socket without a client behind it, to say what no client says. */
export function raw(url: string, options: { headers?: Record<string, string>; protocols?: string[] } = {}): RawSocket {
  const socket = new WebSocket(url, options as never)
  socket.binaryType = 'arraybuffer'
  const frames: Uint8Array[] = []
  socket.onmessage = ({ data }) => frames.push(new Uint8Array(data))
  const opened = new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve()
    socket.onerror = () => reject(new Error('the socket did not open'))
  })
  opened.catch(() => {})
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.onclose = ({ code, reason }) => resolve({ code, reason })
  })
  return { socket, frames, opened, closed }
}

/** Status of an upgrade that is refused over HTTP. */
export async function upgradeStatus(url: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(url.replace(/^ws/, 'http'), {
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64'),
      ...headers,
    },
    signal: AbortSignal.timeout(5000),
  })
  return response.status
}

/** The same content gives the same bytes, however it came about. */
export function stateOf(doc: Y.Doc): string {
  const canonical = new Y.Doc()
  Y.applyUpdate(canonical, Y.encodeStateAsUpdate(doc))
  return JSON.stringify({
    text: canonical.getText('t').toDelta(),
    map: canonical.getMap('m').toJSON(),
    array: canonical.getArray('a').toJSON(),
    vector: [...Y.decodeStateVector(Y.encodeStateVector(canonical))].sort(),
  })
}

export { Y }
