import { createHash } from 'node:crypto'
import type { Server, ServerWebSocket, WebSocketHandler } from 'bun'
import {
  Buckets,
  type CloseReason,
  Connection,
  closeCodes,
  deniedFrame,
  isDocId,
  type SyncEngine,
} from '../../domains/sync/index.ts'
import type { Log } from '../../kernel/log.ts'
import { type Gate, type Offer, tokenOf } from './credentials.ts'

/** A socket that was let in only to be told why it is refused: a browser shows nothing but a close code. */
export class Refusal {
  frames = 0
  readonly reason: CloseReason
  readonly message: string

  constructor(reason: CloseReason, message: string) {
    this.reason = reason
    this.message = message
  }
}

export type SocketData = Connection | Refusal

export type SyncPlane = {
  /** Whether a request is for this plane. */
  handles: (request: Request) => boolean
  /** Upgrades or answers. `undefined`: the connection is a WebSocket now. */
  fetch: (request: Request, server: Server<SocketData>, ip: string) => Promise<Response | undefined>
  websocket: WebSocketHandler<SocketData>
  /** Says which server publishes. */
  listen: (server: Server<SocketData>) => void
  /** Tells all sockets that the server goes, makes everything durable, closes what it opened. */
  stop: () => Promise<void>
}

type Options = {
  engine: SyncEngine
  gate: Gate
  log: Log
  /** Called when a socket is open and part of the engine's indexes. */
  onOpen?: (connection: Connection) => void
  /** Longest time over which sockets are told to come back. */
  drainMs?: number
  countRefusal?: (reason: string) => void
}

const prefix = '/sync/'
const subprotocol = 'usher.v1'
/** A refused client that talks on is cut off. */
const refusedFrames = 16
const refusedBytes = 4096
/** Same address, document and credential: from this refusal in a minute on it is refused over HTTP, which backs off. */
const refusalsBeforeHttp = 2
const refusalWindowMs = 60_000
const oversizedForMs = 60_000

/** The WebSocket face: upgrades, refuses and passes frames. What they mean is the engine's business. */
export function createSyncPlane({ engine, gate, log, onOpen, drainMs = 20_000, countRefusal }: Options): SyncPlane {
  const { limits } = engine
  const perIp = new Buckets(limits.upgradesPerIpPerSecond, limits.upgradesPerIpBurst)
  const perNode = new Buckets(limits.upgradesPerSecond, limits.upgradesPerSecond)
  const refusals = new Recent(refusalWindowMs)
  const oversized = new Recent(oversizedForMs)
  let refusedOpen = 0

  async function upgrade(request: Request, server: Server<SocketData>, ip: string): Promise<Response | undefined> {
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
      return answer(426, 'This address speaks WebSocket.', { upgrade: 'websocket' })
    if (engine.draining) return answer(503, 'The server is going away.', { 'retry-after': '1' })
    const now = performance.now()
    if (!perIp.take(ip, now) || !perNode.take('', now)) return refuse(503, 'Too many connections.', 1)
    const url = new URL(request.url)
    const docId = decodeDocId(url.pathname)
    if (docId === undefined) return answer(400, 'This is not a document id.')
    const protocols = (request.headers.get('sec-websocket-protocol') ?? '').split(',').map((p) => p.trim())
    const offer: Offer = {
      docId,
      token: tokenOf(url, protocols),
      origin: request.headers.get('origin') ?? undefined,
      host: (request.headers.get('host') ?? '').toLowerCase(),
      ip,
    }
    const credential = digestOf(`${ip} ${docId} ${offer.token ?? ''}`)
    // A client that sent too much would do it again at once, for ever.
    if (oversized.count(`${ip} ${docId}`, now) > 0) return refuse(413, 'What this client sends is too large.', 60)
    if (refusals.count(credential, now) >= refusalsBeforeHttp) return refuse(401, 'Refused.', 30)
    const admission = await gate(offer)
    if (!admission.admitted && 'status' in admission)
      return refuse(admission.status, admission.message, admission.retryAfterSeconds)
    let data: SocketData
    if (admission.admitted) {
      const connection = new Connection(admission.principal, docId, admission, limits, performance.now())
      connection.ip = ip
      connection.judgedAt = admission.judgedAt ?? 0
      data = connection
    } else {
      countRefusal?.(admission.reason)
      refusals.add(credential, now)
      log.info({ reason: admission.reason, ip }, 'a socket was refused')
      if (refusedOpen >= limits.refusedSockets) return refuse(401, 'Refused.', 30)
      data = new Refusal(admission.reason, admission.message)
    }
    // Without a header Bun would echo the first protocol offered, and that could be the bearer.
    const headers: Record<string, string> = protocols.includes(subprotocol)
      ? { 'sec-websocket-protocol': subprotocol }
      : {}
    if (server.upgrade(request, { data, headers })) return undefined
    return answer(400, 'The upgrade failed.')
  }

  function refuse(status: number, message: string, retryAfterSeconds?: number): Response {
    countRefusal?.(`http_${status}`)
    return answer(status, message, retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) })
  }

  function openRefused(socket: ServerWebSocket<SocketData>, refusal: Refusal) {
    refusedOpen++
    socket.send(deniedFrame(refusal.message))
    // Later than at once: stock clients before 3.1 come back without a pause. Not refreshed by anything they send.
    setTimeout(() => socket.close(closeCodes[refusal.reason].code, refusal.message), 500 + Math.random() * 1000)
  }

  return {
    handles: (request) => new URL(request.url).pathname.startsWith(prefix),
    fetch: upgrade,
    listen: (server) => {
      engine.publish = (topic, frame) => server.publish(topic, frame)
    },
    websocket: {
      data: undefined as unknown as SocketData,
      open(socket) {
        if (socket.data instanceof Refusal) return openRefused(socket, socket.data)
        engine.attach(socket.data, socket)
        onOpen?.(socket.data)
      },
      message(socket, message) {
        const { data } = socket
        if (data instanceof Connection) return engine.receive(data, message)
        if (++data.frames > refusedFrames || message.length > refusedBytes) socket.terminate()
      },
      drain(socket) {
        if (socket.data instanceof Connection) engine.drained(socket.data)
      },
      close(socket, code) {
        if (socket.data instanceof Refusal) {
          refusedOpen--
          return
        }
        const { ip, key, closeReason } = socket.data
        if (code === 1009 || closeReason === 'too_large') oversized.add(`${ip} ${key}`, performance.now())
        engine.detach(socket.data)
      },
      // A dropped update is a hole in somebody's document: a socket that cannot keep up is closed and resyncs.
      closeOnBackpressureLimit: true,
      backpressureLimit: 4 * 1024 * 1024,
      maxPayloadLength: limits.documentBytes,
      // A compression window costs up to 256 KB a socket.
      perMessageDeflate: false,
      idleTimeout: 60,
      sendPings: true,
    },
    stop: async () => {
      await engine.drain(Math.min(drainMs, engine.stats.connections * 10))
      await engine.stop()
    },
  }
}

function decodeDocId(pathname: string): string | undefined {
  try {
    const docId = decodeURIComponent(pathname.slice(prefix.length))
    return isDocId(docId) ? docId : undefined
  } catch {
    return undefined
  }
}

function answer(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'referrer-policy': 'no-referrer', ...headers },
  })
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

/** Counts what happened in a window of time, for a bounded number of keys. */
class Recent {
  private readonly entries = new Map<string, { count: number; since: number }>()
  private readonly windowMs: number

  constructor(windowMs: number) {
    this.windowMs = windowMs
  }

  count(key: string, now: number): number {
    const entry = this.entries.get(key)
    return entry && now - entry.since < this.windowMs ? entry.count : 0
  }

  add(key: string, now: number): void {
    const count = this.count(key, now)
    if (count > 0) (this.entries.get(key) as { count: number }).count++
    else {
      if (this.entries.size >= 10_000) this.entries.delete(this.entries.keys().next().value as string)
      this.entries.set(key, { count: 1, since: now })
    }
  }
}
