import { createHash } from 'node:crypto'
import type { Server, ServerWebSocket, WebSocketHandler } from 'bun'
import {
  Buckets,
  type CloseReason,
  Connection,
  closeCodes,
  deniedFrame,
  isDocId,
  Renewals,
  type SyncEngine,
} from '../../domains/sync/index.ts'
import type { Log } from '../../kernel/log.ts'
import { countSyncFrames, realtimeCloses } from '../../kernel/metrics.ts'
import { ipKey } from '../../kernel/rate-limit.ts'
import { authedFrame, type ControlFrame, createControl, parseControl, tokenIn } from './control.ts'
import { type Admission, type Gate, type Offer, subprotocolOf, tokenOf } from './credentials.ts'

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

/** A socket that has to show its credential in its first message, and is nobody's until then. */
export class Waiting {
  readonly offer: Offer
  timer: ReturnType<typeof setTimeout> | undefined
  bytes = 0
  isJudged = false
  isOver = false

  constructor(offer: Offer) {
    this.offer = offer
  }
}

export type SocketData = Connection | Refusal | Waiting

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
  /** Called when a socket is open and part of the engine's indexes, and when it showed a new credential. */
  onJudged?: (connection: Connection) => void
  /** Text frames of named connections that concern neither liveness nor their credential. */
  onText?: (connection: Connection, frame: ControlFrame) => void
  /** Called when a connection is gone. */
  onClosed?: (connection: Connection) => void
  /** Longest time over which sockets are told to come back. */
  drainMs?: number
  countRefusal?: (reason: string) => void
}

const prefix = '/sync/'
/** A refused client that talks on is cut off. */
const refusedFrames = 16
const refusedBytes = 4096
/** Same address, document and credential: from this refusal in a minute on it is refused over HTTP, which backs off. */
const refusalsBeforeHttp = 2
const refusalWindowMs = 60_000
const oversizedForMs = 60_000

/** The WebSocket face: upgrades, refuses and passes frames. What they mean is the engine's business. */
export function createSyncPlane(options: Options): SyncPlane {
  const { engine, gate, log, onJudged, onText, onClosed, drainMs = 20_000, countRefusal } = options
  const { limits } = engine
  const perIp = new Buckets(limits.upgradesPerIpPerSecond, limits.upgradesPerIpBurst)
  const perNode = new Buckets(limits.upgradesPerSecond, limits.upgradesPerSecond)
  const refusals = new Recent(refusalWindowMs)
  const oversized = new Recent(oversizedForMs)
  /** Connections that are told when the server goes. */
  const named = new Set<Connection>()
  const waitingByIp = new Map<string, number>()
  let waitingOpen = 0
  let refusedOpen = 0
  const renewals = new Renewals(engine.hub.all, {
    announce: (connection, inMs) => connection.sendText({ t: 'expiring', inMs }),
    end: (connection) => engine.close(connection, 'unauthenticated', 'the token has expired'),
  })
  const control = createControl({ engine, gate, renewals, onText, onJudged })

  async function upgrade(request: Request, server: Server<SocketData>, ip: string): Promise<Response | undefined> {
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
      return answer(426, 'This address speaks WebSocket.', { upgrade: 'websocket' })
    if (engine.draining) return answer(503, 'The server is going away.', { 'retry-after': '1' })
    const now = performance.now()
    if (!perIp.take(ipKey(ip), now) || !perNode.take('', now)) return refuse(503, 'Too many connections.', 1)
    const url = new URL(request.url)
    const docId = decodeDocId(url.pathname)
    if (docId === undefined) return answer(400, 'This is not a document id.')
    const protocols = (request.headers.get('sec-websocket-protocol') ?? '').split(',').map((p) => p.trim())
    const offer: Offer = {
      docId,
      ...tokenOf(url, protocols),
      subprotocol: subprotocolOf(protocols),
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
    if (admission.admitted) data = connectionOf(offer, admission)
    else if (admission.missing && offer.subprotocol !== '') {
      if (waitingOpen >= limits.waitingSockets || (waitingByIp.get(ipKey(ip)) ?? 0) >= limits.waitingSocketsPerIp)
        return refuse(503, 'Too many connections.', 1)
      data = new Waiting(offer)
    } else {
      countRefusal?.(admission.reason)
      refusals.add(credential, now)
      log.info({ reason: admission.reason, ip }, 'a socket was refused')
      if (refusedOpen >= limits.refusedSockets) return refuse(401, 'Refused.', 30)
      data = new Refusal(admission.reason, admission.message)
    }
    // Without a header Bun would echo the first protocol offered, and that could be the bearer.
    const headers: Record<string, string> = offer.subprotocol ? { 'sec-websocket-protocol': offer.subprotocol } : {}
    if (server.upgrade(request, { data, headers })) return undefined
    return answer(400, 'The upgrade failed.')
  }

  function refuse(status: number, message: string, retryAfterSeconds?: number): Response {
    countRefusal?.(`http_${status}`)
    return answer(status, message, retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) })
  }

  function connectionOf(offer: Offer, admission: Extract<Admission, { admitted: true }>): Connection {
    const connection = new Connection(admission.principal, offer.docId, admission, limits, performance.now())
    connection.subprotocol = offer.subprotocol
    connection.ip = offer.ip
    if (offer.subprotocol !== '') {
      connection.host = offer.host
      connection.origin = offer.origin
    }
    connection.judgedAt = admission.judgedAt ?? 0
    renewals.watch(connection, admission.expiresAt)
    return connection
  }

  function open(socket: ServerWebSocket<SocketData>, connection: Connection) {
    if (connection.subprotocol !== '') named.add(connection)
    engine.attach(connection, socket)
    onJudged?.(connection)
  }

  function openWaiting(socket: ServerWebSocket<SocketData>, waiting: Waiting) {
    const ip = ipKey(waiting.offer.ip)
    waitingOpen++
    waitingByIp.set(ip, (waitingByIp.get(ip) ?? 0) + 1)
    // Not refreshed by anything that it sends.
    waiting.timer = setTimeout(
      () => turnAway(socket, waiting, 'unauthenticated', 'no token came in time'),
      limits.firstMessageSeconds * 1000,
    )
  }

  /** It no longer waits: it was let in, turned away, or went by itself. */
  function endWaiting(waiting: Waiting) {
    if (waiting.isOver) return
    waiting.isOver = true
    clearTimeout(waiting.timer)
    const ip = ipKey(waiting.offer.ip)
    waitingOpen--
    const left = (waitingByIp.get(ip) ?? 1) - 1
    if (left > 0) waitingByIp.set(ip, left)
    else waitingByIp.delete(ip)
  }

  function turnAway(socket: ServerWebSocket<SocketData>, waiting: Waiting, reason: CloseReason, message: string) {
    endWaiting(waiting)
    countRefusal?.(reason)
    log.info({ reason, ip: waiting.offer.ip }, 'a socket was refused')
    socket.close(closeCodes[reason].code, message)
  }

  /** The first message is the credential. Nothing else is looked at, and nothing is kept for later. */
  async function receiveFirst(socket: ServerWebSocket<SocketData>, waiting: Waiting, message: string | Buffer) {
    if (waiting.isOver) return
    waiting.bytes += message.length
    if (waiting.bytes > limits.firstMessageBytes) {
      endWaiting(waiting)
      return socket.terminate()
    }
    if (waiting.isJudged) return turnAway(socket, waiting, 'malformed', 'wait for the answer to the token')
    const said = typeof message === 'string' ? parseControl(message) : undefined
    const token = tokenIn(said)
    if (token === undefined) {
      // Who says something else has not understood that a token is needed; what cannot be read is no such thing.
      const isUnreadable = typeof message === 'string' && (said === undefined || said.t === 'auth')
      const reason = isUnreadable ? 'malformed' : 'unauthenticated'
      return turnAway(socket, waiting, reason, 'a token is needed: the first message is { t: "auth", token }')
    }
    waiting.isJudged = true
    const { offer } = waiting
    const credential = digestOf(`${offer.ip} ${offer.docId} ${token}`)
    const now = performance.now()
    if (refusals.count(credential, now) >= refusalsBeforeHttp)
      return turnAway(socket, waiting, 'rate_limited', JSON.stringify({ retryAfterMs: 30_000 }))
    let admission: Admission
    try {
      admission = await gate({ ...offer, token, via: 'message' })
    } catch (error) {
      log.error({ err: error }, 'a token could not be checked')
      return turnAway(socket, waiting, 'storage_unavailable', 'the token cannot be checked now')
    }
    if (waiting.isOver) return
    if (!admission.admitted) {
      if ('status' in admission)
        return turnAway(socket, waiting, 'rate_limited', JSON.stringify({ retryAfterMs: 60_000 }))
      refusals.add(credential, now)
      return turnAway(socket, waiting, admission.reason, admission.message)
    }
    endWaiting(waiting)
    if (engine.draining) return socket.close(closeCodes.restart.code, 'the server restarts')
    const connection = connectionOf(offer, admission)
    socket.data = connection
    socket.send(JSON.stringify(authedFrame(admission.expiresAt, admission.access)))
    open(socket, connection)
  }

  function openRefused(socket: ServerWebSocket<SocketData>, refusal: Refusal) {
    refusedOpen++
    socket.send(deniedFrame(refusal.message))
    // Nothing that it says counts, so nothing is read.
    pause(socket)
    // Later than at once: stock clients before 3.1 come back without a pause. Not refreshed by anything they send.
    setTimeout(() => socket.close(closeCodes[refusal.reason].code, refusal.message), 500 + Math.random() * 1000)
  }

  return {
    handles: (request) => new URL(request.url).pathname.startsWith(prefix),
    fetch: upgrade,
    listen: (server) => {
      engine.publish = (topic, frame) => {
        countSyncFrames('out', server.subscriberCount(topic), frame.length)
        server.publish(topic, frame)
      }
    },
    websocket: {
      data: undefined as unknown as SocketData,
      open(socket) {
        const { data } = socket
        if (data instanceof Connection) open(socket, data)
        else if (data instanceof Waiting) openWaiting(socket, data)
        else openRefused(socket, data)
      },
      message(socket, message) {
        const { data } = socket
        countSyncFrames('in', 1, message.length)
        if (data instanceof Connection) {
          if (typeof message === 'string' && data.subprotocol !== '') return control.receive(data, message)
          return engine.receive(data, message)
        }
        if (data instanceof Waiting) return void receiveFirst(socket, data, message)
        if (++data.frames > refusedFrames || message.length > refusedBytes) socket.terminate()
      },
      drain(socket) {
        if (socket.data instanceof Connection) engine.drained(socket.data)
      },
      close(socket, code) {
        const { data } = socket
        if (data instanceof Refusal) {
          refusedOpen--
          return
        }
        if (data instanceof Waiting) return endWaiting(data)
        const { ip, key, closeReason } = data
        if (code === 1009 || closeReason === 'too_large') oversized.add(`${ip} ${key}`, performance.now())
        named.delete(data)
        realtimeCloses.inc({ plane: 'sync', reason: closeReason ?? (code === 1006 ? 'gone' : 'client') })
        onClosed?.(data)
        engine.detach(data)
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
      const windowMs = Math.min(drainMs, engine.stats.connections * 10)
      // Who understands it comes back at a moment of its own choice; everybody else is sent away one by one.
      for (const connection of named) connection.sendText({ t: 'goaway', inMs: windowMs })
      await engine.drain(windowMs)
      renewals.stop()
      await engine.stop()
    },
  }
}

/** Bun has it, its types do not know it yet. */
function pause(socket: ServerWebSocket<SocketData>) {
  ;(socket as unknown as { pause(): void }).pause()
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
