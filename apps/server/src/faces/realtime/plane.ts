import type { Server, ServerWebSocket } from 'bun'
import {
  type ChannelFrame,
  type ChannelHub,
  type ChannelPrincipal,
  ChannelSession,
  channelLimits,
  type Judgement,
  Peer,
  readJson,
} from '../../domains/channels/index.ts'
import { Buckets, type CloseReason, closeCodes, SharedCounts, type SyncLimits } from '../../domains/sync/index.ts'
import type { Cluster } from '../../kernel/cluster/index.ts'
import type { Log } from '../../kernel/log.ts'
import { realtimeBytes, realtimeCloses, realtimeFrames } from '../../kernel/metrics.ts'
import { ipKey } from '../../kernel/rate-limit.ts'
import { tokenOf } from '../sync/credentials.ts'
import type { Admitted, Credential, Refused } from './admit.ts'
import { idsOf, isSamePerson, userOf } from './principals.ts'
import { RealtimeSocket } from './socket.ts'

type Options = {
  hub: ChannelHub
  log: Log
  limits: SyncLimits
  /** Whether pages of an origin may come at all, at a host. */
  isAllowedOrigin: (host: string, origin: string) => boolean
  admit: (credential: Credential) => Promise<Admitted | Refused>
  judge: (principal: ChannelPrincipal, names: readonly string[]) => Promise<Judgement>
  /** Where sockets of all nodes are counted together. */
  cluster?: Cluster
  /** Counts what changed in anybody's rights. */
  changes: () => number
  countRefusal: (reason: string) => void
}

const path = '/realtime'
const subprotocol = 'usher.v1'
/** How long before its end a token is said to end, by how much that is spread, and how long its owner may be late. */
const announceMs = 30_000
const jitterMs = 10_000
const graceMs = 5000
/** A frame is a little more than the data in it. */
const frameBytes = channelLimits.dataBytes + 4096
const frameDepth = channelLimits.dataDepth + 2
/** The application's server speaks for many people: so much more of its messages may wait to be stored. */
const backendFactor = 100

/** The socket of channels: who comes in, how much they may say, when they go. What they say is the session's business. */
export class RealtimePlane {
  readonly sockets = new Set<RealtimeSocket>()
  private readonly byUser = new Map<string, Set<RealtimeSocket>>()
  private readonly options: Options
  private readonly perIp: Buckets
  private readonly perNode: Buckets
  /** Attempts that may fail for an address before it is refused without a socket, which every client backs off on. */
  private readonly failures = new Buckets(1, 10)
  private readonly timer: ReturnType<typeof setInterval>
  private isDraining = false
  /** Sockets of people on all nodes together. */
  private readonly counts: SharedCounts<RealtimeSocket> | undefined
  private waiting = 0
  private readonly waitingByIp = new Map<string, number>()

  constructor(options: Options) {
    this.options = options
    const { upgradesPerIpPerSecond, upgradesPerIpBurst, upgradesPerSecond } = options.limits
    this.perIp = new Buckets(upgradesPerIpPerSecond, upgradesPerIpBurst)
    this.perNode = new Buckets(upgradesPerSecond, upgradesPerSecond)
    const { cluster, log } = options
    if (cluster?.isShared)
      this.counts = new SharedCounts<RealtimeSocket>(
        cluster,
        ({ principal }) => this.countedFor(principal),
        (data) => this.close(data, 'rate_limited', JSON.stringify({ retryAfterMs: 10_000 })),
        log,
      )
    this.timer = setInterval(() => this.sweep(), 1000)
    this.timer.unref()
  }

  handles(request: Request): boolean {
    return new URL(request.url).pathname === path
  }

  async fetch(request: Request, server: Server<RealtimeSocket>, ip: string): Promise<Response | undefined> {
    if (request.headers.get('upgrade')?.toLowerCase() !== 'websocket')
      return answer(426, 'This address speaks WebSocket.', { upgrade: 'websocket' })
    if (this.isDraining) return answer(503, 'The server is going away.', { 'retry-after': '1' })
    const now = performance.now()
    // An IPv6 customer has a whole network of addresses to come from.
    const address = ipKey(ip)
    if (!this.perIp.take(address, now) || !this.perNode.take('', now))
      return this.refuse(503, 'Too many connections.', 1)
    if (this.failures.isEmpty(address, now)) return this.refuse(401, 'Refused.', 10)
    const protocols = (request.headers.get('sec-websocket-protocol') ?? '').split(',').map((p) => p.trim())
    if (!protocols.includes(subprotocol)) return this.refuse(400, `The subprotocol ${subprotocol} is needed.`)
    const origin = request.headers.get('origin') ?? undefined
    const host = (request.headers.get('host') ?? '').toLowerCase()
    if (origin !== undefined && !this.options.isAllowedOrigin(host, origin))
      return this.refuse(403, 'Pages of this origin may not connect.')
    const { limits } = this.options
    const data = new RealtimeSocket({ ip, host, origin }, { messages: limits.messagesBurst, bytes: limits.bytesBurst })
    const { token, via } = tokenOf(new URL(request.url), protocols)
    if (token === undefined) {
      const isFull =
        this.waiting >= limits.waitingSockets || (this.waitingByIp.get(address) ?? 0) >= limits.waitingSocketsPerIp
      if (isFull) return this.refuse(503, 'Too many connections.', 1)
    } else {
      const before = this.options.changes()
      const admission = await this.options.admit({ token, via, origin, host })
      if ('reason' in admission) {
        this.failures.take(address, now)
        data.refusal = admission
      } else {
        const { principal } = admission
        if (this.isFull(principal))
          data.refusal = { reason: 'rate_limited', message: JSON.stringify({ retryAfterMs: 10_000 }) }
        data.principal = principal
        data.judgedAt = before
        this.watch(data, admission.expiresAt)
      }
    }
    // Always this one: Bun would echo the first that was offered, and that could be the bearer.
    if (server.upgrade(request, { data, headers: { 'sec-websocket-protocol': subprotocol } })) return undefined
    return answer(400, 'The upgrade failed.')
  }

  open(socket: ServerWebSocket<RealtimeSocket>): void {
    const { data } = socket
    data.socket = socket
    const { refusal } = data
    if (refusal) {
      data.state = 'closing'
      this.options.countRefusal(refusal.reason)
      this.options.log.info({ reason: refusal.reason, ip: data.ip }, 'a socket was refused')
      // Nothing that it says counts, so nothing is read.
      pausable(socket).pause()
      // Later than at once: a client that comes back at once would do so for ever.
      setTimeout(() => socket.close(closeCodes[refusal.reason].code, refusal.message), 300 + Math.random() * 500)
      return
    }
    this.sockets.add(data)
    if (data.principal) this.begin(data, data.principal)
    else this.beginWaiting(data)
  }

  message(socket: ServerWebSocket<RealtimeSocket>, message: string | Buffer) {
    const { data } = socket
    if (data.state === 'closing') return
    realtimeFrames.inc({ plane: 'realtime', direction: 'in' })
    realtimeBytes.inc({ plane: 'realtime', direction: 'in' }, message.length)
    if (typeof message !== 'string') return this.close(data, 'malformed', 'frames are text')
    if (data.state === 'waiting') return void this.receiveFirst(data, message)
    if (message.length > frameBytes) return this.close(data, 'too_large', 'the frame is too large')
    const read = readJson(message, frameDepth)
    if ('fault' in read) return this.close(data, 'malformed', read.fault)
    const frame = read.value as ChannelFrame
    if (typeof frame !== 'object' || frame === null || Array.isArray(frame) || typeof frame.t !== 'string')
      return this.close(data, 'malformed', 'a frame is an object with "t"')
    const waitMs = this.spend(data, message.length)
    if (waitMs > 10_000) return this.close(data, 'rate_limited', JSON.stringify({ retryAfterMs: 10_000 }))
    if (frame.t === 'ping') return send(data, { t: 'pong' })
    if (frame.t === 'auth') return void this.renew(data, frame)
    if (waitMs > 0)
      return data.session?.refuse(frame, 'rate_limited', 'too many messages', { retryAfterMs: Math.ceil(waitMs) })
    data.session?.receive(frame)
  }

  closed(socket: ServerWebSocket<RealtimeSocket>, code: number): void {
    const { data } = socket
    const wasLive = data.state === 'live'
    if (data.state === 'waiting' && this.sockets.has(data)) this.endWaiting(data)
    data.state = 'closing'
    this.forget(data, 'soon')
    if (wasLive) realtimeCloses.inc({ plane: 'realtime', reason: code === 1006 ? 'gone' : 'client' })
  }

  /** Sockets whose rights an event may concern. */
  of(instanceId: string, ids: ReadonlySet<string> | 'everyone'): RealtimeSocket[] {
    const found: RealtimeSocket[] = []
    for (const data of this.sockets) {
      const { principal, session } = data
      if (principal?.instanceId !== instanceId || !session) continue
      if (ids === 'everyone') {
        found.push(data)
        continue
      }
      if (principal.kind === 'backend') continue
      // The organization of a channel stands in its name.
      const isConcerned =
        idsOf(principal).some((id) => id !== undefined && ids.has(id)) ||
        [...session.peer.subscriptions.keys()].some((name) => name.split(':').some((part) => ids.has(part)))
      if (isConcerned) found.push(data)
    }
    return found
  }

  /** Sockets of those who came for one document. */
  ofDocument(instanceId: string, docId: string): RealtimeSocket[] {
    return [...this.sockets].filter(
      ({ principal }) =>
        principal?.kind === 'document' && principal.instanceId === instanceId && principal.docId === docId,
    )
  }

  close(data: RealtimeSocket, reason: CloseReason, message: string): void {
    if (data.state === 'closing') return
    if (data.state === 'waiting') this.endWaiting(data)
    data.state = 'closing'
    realtimeCloses.inc({ plane: 'realtime', reason })
    this.options.log.debug({ reason, ip: data.ip }, 'a socket was closed')
    // Nothing is delivered after the cut, and nobody is shown who was sent away.
    this.forget(data, reason === 'restart' || reason === 'unauthenticated' ? 'soon' : 'now')
    data.socket?.close(closeCodes[reason].code, message)
  }

  async stop(windowMs: number): Promise<void> {
    this.isDraining = true
    clearInterval(this.timer)
    const sockets = [...this.sockets]
    const spreadMs = Math.min(windowMs, sockets.length * 10)
    for (const data of sockets) send(data, { t: 'goaway', inMs: spreadMs })
    const eachMs = spreadMs / Math.max(1, sockets.length)
    for (const data of sockets.sort(() => Math.random() - 0.5)) {
      this.close(data, 'restart', 'the server restarts')
      if (eachMs >= 1) await Bun.sleep(eachMs)
    }
  }

  private refuse(status: number, message: string, retryAfterSeconds?: number): Response {
    this.options.countRefusal(`http_${status}`)
    return answer(status, message, retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) })
  }

  private beginWaiting({ ip }: RealtimeSocket) {
    const address = ipKey(ip)
    this.waiting++
    this.waitingByIp.set(address, (this.waitingByIp.get(address) ?? 0) + 1)
  }

  private endWaiting({ ip }: RealtimeSocket) {
    const address = ipKey(ip)
    this.waiting--
    const left = (this.waitingByIp.get(address) ?? 1) - 1
    if (left > 0) this.waitingByIp.set(address, left)
    else this.waitingByIp.delete(address)
  }

  /** Whether somebody has as many sockets here as they may have. */
  private isFull(principal: ChannelPrincipal): boolean {
    const userId = userOf(principal)
    if (userId === null) return false
    return (this.byUser.get(`${principal.instanceId} ${userId}`)?.size ?? 0) >= this.options.limits.connectionsPerUser
  }

  private countedFor(principal: ChannelPrincipal | undefined) {
    const userId = principal && userOf(principal)
    if (!principal || !userId) return []
    const { connectionsPerUser: limit } = this.options.limits
    return [{ key: `channel-sockets:${principal.instanceId}:${userId}`, limit, whose: 'user' }]
  }

  private begin(data: RealtimeSocket, principal: ChannelPrincipal) {
    const { socket } = data
    if (!socket) return
    const { hub, log, judge, changes } = this.options
    data.state = 'live'
    data.principal = principal
    const userId = userOf(principal)
    const peer = new Peer(socket, { instanceId: principal.instanceId, userId })
    data.session = new ChannelSession({
      hub,
      peer,
      log,
      judge: (names) => judge(data.principal ?? principal, names),
      maxChannels: userId === null ? channelLimits.channelsPerBackend : channelLimits.channelsPerConnection,
      hasPresence: userId !== null,
      end: (reason, message) => this.close(data, reason, message),
      onPending: (messages, bytes) => this.pause(data, messages, bytes),
    })
    if (userId !== null) {
      const key = `${principal.instanceId} ${userId}`
      const others = this.byUser.get(key)
      if (others) others.add(data)
      else this.byUser.set(key, new Set([data]))
      this.counts?.entered(data)
    }
    // Something changed between the judgement and this moment.
    if (data.judgedAt !== changes()) void this.judgeAgain(data)
  }

  /** Judges a socket and all its channels anew. */
  async judgeAgain(data: RealtimeSocket): Promise<void> {
    await data.session?.judgeAgain()
  }

  private forget(data: RealtimeSocket, shownUntil: 'now' | 'soon') {
    this.sockets.delete(data)
    data.session?.close(shownUntil)
    const userId = data.principal && userOf(data.principal)
    if (!data.principal || !userId) return
    this.counts?.left(data)
    const key = `${data.principal.instanceId} ${userId}`
    const others = this.byUser.get(key)
    if (others?.delete(data) && others.size === 0) this.byUser.delete(key)
  }

  /** @returns milliseconds until the socket is within its share again */
  private spend(data: RealtimeSocket, bytes: number): number {
    const { messagesPerSecond, messagesBurst, bytesPerSecond, bytesBurst } = this.options.limits
    // The application's server is held back by what is stored, and by nothing else.
    if (data.principal?.kind === 'backend') return 0
    const now = performance.now()
    return Math.max(
      data.messages.take(1, messagesPerSecond, messagesBurst, now),
      data.bytes.take(bytes, bytesPerSecond, bytesBurst, now),
    )
  }

  /** Reads nothing more from a socket that says things faster than they can be stored. */
  private pause(data: RealtimeSocket, messages: number, bytes: number) {
    const factor = data.principal?.kind === 'backend' ? backendFactor : 1
    const { unacknowledged, unacknowledgedBytes } = channelLimits
    const isFull = messages >= unacknowledged * factor || bytes >= unacknowledgedBytes * factor
    if (isFull === data.isPaused || data.state !== 'live') return
    data.isPaused = isFull
    if (!data.socket) return
    if (isFull) pausable(data.socket).pause()
    else pausable(data.socket).resume()
  }

  /** The first message is the credential; nothing else is looked at, and nothing is kept for later. */
  private async receiveFirst(data: RealtimeSocket, message: string) {
    const { limits, admit, changes } = this.options
    data.earlyBytes += message.length
    if (data.earlyBytes > limits.firstMessageBytes) return this.close(data, 'too_large', 'too much before the token')
    if (data.isJudging) return this.close(data, 'malformed', 'wait for the answer to the token')
    const token = tokenIn(message)
    if (token === undefined) return this.close(data, 'malformed', 'the first message is { t: "auth", token }')
    data.isJudging = true
    try {
      const before = changes()
      const admission = await admit({ token, via: 'message', origin: data.origin, host: data.host })
      if (data.state !== 'waiting') return
      if ('reason' in admission) {
        this.failures.take(ipKey(data.ip), performance.now())
        this.options.countRefusal(admission.reason)
        return this.close(data, admission.reason, admission.message)
      }
      const { principal, expiresAt } = admission
      if (this.isFull(principal)) return this.close(data, 'rate_limited', JSON.stringify({ retryAfterMs: 10_000 }))
      this.endWaiting(data)
      data.judgedAt = before
      this.watch(data, expiresAt)
      data.socket?.send(authedFrame(expiresAt))
      this.begin(data, principal)
    } catch (error) {
      this.options.log.error({ err: error }, 'a token could not be checked')
      this.close(data, 'storage_unavailable', 'the token cannot be checked now')
    } finally {
      data.isJudging = false
    }
  }

  /** Takes a new token of the same person. A wrong one changes nothing: the socket goes on until its own end. */
  private async renew(data: RealtimeSocket, frame: ChannelFrame) {
    const answer = (code: string, message: string) =>
      send(data, { t: 'err', ...(frame.id !== undefined && { id: frame.id }), code, message })
    if (typeof frame.token !== 'string') return answer('malformed', 'there is no token')
    if (data.isJudging) return answer('rate_limited', 'a token is being looked at')
    data.isJudging = true
    const { changes } = this.options
    const before = changes()
    try {
      const { origin, host } = data
      const admission = await this.options.admit({ token: frame.token, via: 'message', origin, host })
      if (data.state !== 'live') return
      if ('reason' in admission) return answer(admission.reason, admission.message)
      if (!isSamePerson(data.principal, admission.principal)) return answer('forbidden', 'the token is somebody else’s')
      data.principal = admission.principal
      this.watch(data, admission.expiresAt)
      data.socket?.send(authedFrame(admission.expiresAt))
      // Something changed while the token was looked at, when the socket still stood for the session before. Of those
      // whose token says what they may do, it may say something else now.
      if (before !== changes() || admission.principal.kind !== 'session') void this.judgeAgain(data)
    } catch {
      answer('unavailable', 'the token cannot be checked now')
    } finally {
      data.isJudging = false
    }
  }

  /** The wall clock is read once: its leaps move nothing later. */
  private watch(data: RealtimeSocket, expiresAt: number | undefined) {
    if (expiresAt === undefined) {
      data.endsAt = undefined
      data.announceAt = undefined
      return
    }
    const left = expiresAt * 1000 - Date.now()
    const now = performance.now()
    data.endsAt = now + left
    // A token of a minute is announced halfway at the soonest.
    data.announceAt = now + left - Math.min(announceMs + (Math.random() * 2 - 1) * jitterMs, left / 2)
  }

  private sweep() {
    const now = performance.now()
    const { firstMessageSeconds } = this.options.limits
    for (const data of [...this.sockets]) {
      if (data.state === 'waiting') {
        // Not refreshed by anything that it sends.
        if (now - data.openedAt > firstMessageSeconds * 1000)
          this.close(data, 'unauthenticated', 'no token came in time')
        continue
      }
      const { endsAt, announceAt, socket } = data
      if (announceAt !== undefined && endsAt !== undefined && now >= announceAt) {
        data.announceAt = undefined
        send(data, { t: 'expiring', inMs: Math.max(0, Math.round(endsAt - now)) })
      }
      if (endsAt !== undefined && now >= endsAt + graceMs) {
        this.close(data, 'unauthenticated', 'the token has expired')
        continue
      }
      if ((socket?.getBufferedAmount() ?? 0) <= channelLimits.bufferedBytes) data.laggingSince = 0
      else if (data.laggingSince === 0) data.laggingSince = now
      else if (now - data.laggingSince > channelLimits.laggingMs)
        this.close(data, 'slow_consumer', 'what is sent is not taken')
    }
  }
}

/** Bun has it, its types do not know it yet. */
const pausable = (socket: ServerWebSocket<RealtimeSocket>) => socket as unknown as { pause(): void; resume(): void }

function send(data: RealtimeSocket, frame: { t: string; [key: string]: unknown }) {
  if (data.state === 'live') data.socket?.send(JSON.stringify(frame))
}

const authedFrame = (expiresAt: number | undefined) =>
  JSON.stringify({ t: 'authed', expiresAt: expiresAt === undefined ? null : expiresAt * 1000 })

function tokenIn(message: string): string | undefined {
  const read = readJson(message, 4)
  if ('fault' in read || typeof read.value !== 'object' || read.value === null) return undefined
  const { t, token } = read.value as Record<string, unknown>
  return t === 'auth' && typeof token === 'string' && token.length > 0 ? token : undefined
}

function answer(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'referrer-policy': 'no-referrer', ...headers },
  })
}
