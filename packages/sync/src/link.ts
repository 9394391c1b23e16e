import { type CloseReason, closeReason, isFinal } from './close-codes.ts'
import type { StopReason } from './connection-state.ts'
import { askForToken, bearerProtocol, deniedCode, type GetToken } from './token.ts'
import { type WebSocketConstructor, type WebSocketLike, webSocketOf } from './token-web-socket.ts'

/** One object of the text vocabulary; `t` says which. */
export type TextMessage = { t: string; [key: string]: unknown }

export type LinkState =
  | { status: 'offline' }
  | { status: 'connecting'; attempt: number }
  | { status: 'open' }
  | { status: 'waiting'; reason: CloseReason; code: number; message: string; attempt: number; retryAt: number }
  | { status: 'stopped'; reason: StopReason; code: number; message: string }

type Options = {
  /** What tokens are asked for. */
  docId: string
  /** @param url that of the grant, if it named one */
  address: (url: string | undefined) => string
  protocol: 'usher.v1' | 'usher.encrypted.v1'
  token?: string
  getToken?: GetToken
  WebSocket?: WebSocketConstructor
  /** Undefined: 300 ms, doubled up to 30 s. */
  backoff?: { minMs?: number; maxMs?: number }
  onState: (state: LinkState) => void
  onOpen: () => void
  onBinary: (bytes: Uint8Array<ArrayBuffer>) => void
  onText: (message: TextMessage) => void
}

const quietMs = 20_000
const deadMs = 45_000
/** A server that limits us is left alone for longer. */
const limitedMs = 5_000

/**
 * A socket that comes back: a token before each connection, a renewal in place before it expires, waiting times with
 * chance in them, and an end where coming back changes nothing.
 */
export class Link {
  state: LinkState = { status: 'offline' }
  private readonly options: Options
  private socket: WebSocketLike | undefined
  /** Counts attempts to open; what belongs to an earlier one is not listened to. */
  private generation = 0
  private attempt = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  private watchdog: ReturnType<typeof setInterval> | undefined
  /** When the server was heard last, by the wall clock, which knows of a sleep, and by the one that does not leap. */
  private heardAt = { wall: 0, monotonic: 0 }
  private isAsking = false
  private triedAgainAtOnce = false
  private readonly onOnline = () => {
    if (this.state.status === 'waiting') this.open()
  }

  constructor(options: Options) {
    this.options = options
  }

  get bufferedAmount(): number {
    return this.socket?.bufferedAmount ?? 0
  }

  start(): void {
    if (this.state.status !== 'offline' && this.state.status !== 'stopped') return
    listen('add', this.onOnline)
    this.attempt = 0
    this.open()
  }

  stop(): void {
    this.end({ status: 'offline' })
  }

  /** Ends for good, as if the server had said so. */
  refuse(code: number, reason: StopReason, message: string): void {
    this.end({ status: 'stopped', reason, code, message })
  }

  /** Opens another socket in place of this one. */
  restart(): void {
    if (this.state.status === 'open' || this.state.status === 'connecting') this.open()
  }

  /** The connection proved good: the next failure is a first one again. */
  settled(): void {
    this.attempt = 0
    this.triedAgainAtOnce = false
  }

  /** @returns false when nobody would hear it */
  send(data: Uint8Array | TextMessage): boolean {
    if (this.state.status !== 'open' || this.socket?.readyState !== 1) return false
    this.socket.send(data instanceof Uint8Array ? (data as Uint8Array<ArrayBuffer>) : JSON.stringify(data))
    return true
  }

  private async open(): Promise<void> {
    this.drop()
    const mine = ++this.generation
    const { options } = this
    this.attempt++
    this.become({ status: 'connecting', attempt: this.attempt })
    let grant: { token?: string; url?: string }
    try {
      grant = options.getToken ? await askForToken(options.getToken, options.docId) : { token: options.token }
    } catch (error) {
      if (mine !== this.generation) return
      const code = deniedCode(error)
      const message = error instanceof Error ? error.message : String(error)
      return code ? this.end({ status: 'stopped', reason: closeReason(code), code, message }) : this.wait(1006, message)
    }
    if (mine !== this.generation) return
    let socket: WebSocketLike
    try {
      const protocols = [options.protocol, ...(grant.token === undefined ? [] : [bearerProtocol(grant.token)])]
      socket = new (webSocketOf(options.WebSocket))(options.address(grant.url), protocols)
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      return this.end({ status: 'stopped', reason: 'malformed', code: 1002, message })
    }
    this.socket = socket
    this.hears()
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => {
      if (mine !== this.generation) return
      this.hears()
      this.become({ status: 'open' })
      options.onOpen()
    }
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (mine !== this.generation) return
      this.hears()
      if (typeof data === 'string') this.hear(data)
      else options.onBinary(new Uint8Array(data as ArrayBuffer))
    }
    socket.onerror = () => {}
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      if (mine === this.generation) this.closed(code, String(reason ?? ''))
    }
    this.watchdog = setInterval(() => this.watch(), 5_000)
  }

  private hear(text: string): void {
    let message: TextMessage
    try {
      message = JSON.parse(text)
    } catch {
      return
    }
    if (typeof message !== 'object' || message === null || message.t === 'pong') return
    if (message.t === 'expiring') this.renew()
    if (message.t === 'goaway') {
      const mine = this.generation
      const inMs = typeof message.inMs === 'number' ? Math.min(message.inMs, 60_000) : 0
      this.timer = setTimeout(() => mine === this.generation && this.restart(), Math.random() * inMs)
    }
    this.options.onText(message)
  }

  private async renew(): Promise<void> {
    const { getToken, docId } = this.options
    if (!getToken) return
    const mine = this.generation
    try {
      const { token } = await askForToken(getToken, docId)
      if (mine === this.generation) this.send({ t: 'auth', token })
    } catch {
      // The socket lives until its token has expired. The next connection asks again, and hears why there is none.
    }
  }

  private hears(): void {
    this.heardAt = { wall: Date.now(), monotonic: performance.now() }
    this.isAsking = false
  }

  private watch(): void {
    const silent = performance.now() - this.heardAt.monotonic
    // Far more than that is a sleep, or a clock that was set: the server is asked before it is given up.
    const passed = Date.now() - this.heardAt.wall
    if (silent > deadMs || (passed > deadMs && this.isAsking)) this.closed(1006, 'the server is silent')
    else if (silent > quietMs || passed > quietMs) {
      this.isAsking = true
      this.send({ t: 'ping' })
    }
  }

  private closed(code: number, message: string): void {
    const { getToken } = this.options
    // Nobody can give another token: that one will not do the next time either.
    const isFinalHere = isFinal(code) || (code === 4001 && !getToken)
    if (isFinalHere) this.end({ status: 'stopped', reason: closeReason(code), code, message })
    else if (code === 4001 && getToken && !this.triedAgainAtOnce) {
      this.triedAgainAtOnce = true
      this.open()
    } else this.wait(code, message)
  }

  private wait(code: number, message: string): void {
    this.drop()
    const { minMs = 300, maxMs = 30_000 } = this.options.backoff ?? {}
    const full = Math.min(maxMs, minMs * 2 ** Math.min(this.attempt - 1, 20))
    // Half of it is chance: clients that lost one server do not come back as one.
    const delayMs = full / 2 + (Math.random() * full) / 2 + (code === 4529 ? limitedMs : 0)
    this.timer = setTimeout(() => this.open(), delayMs)
    const attempt = this.attempt
    this.become({ status: 'waiting', reason: closeReason(code), code, message, attempt, retryAt: Date.now() + delayMs })
  }

  private end(state: LinkState): void {
    this.generation++
    listen('remove', this.onOnline)
    this.drop()
    this.become(state)
  }

  /** Lets go of the socket and of everything that is timed. */
  private drop(): void {
    clearTimeout(this.timer)
    clearInterval(this.watchdog)
    const { socket } = this
    this.socket = undefined
    if (!socket) return
    this.generation++
    socket.onopen = socket.onmessage = socket.onclose = null
    // The `ws` package throws what nobody listens to.
    socket.onerror = () => {}
    if (socket.readyState < 2) socket.close()
  }

  private become(state: LinkState): void {
    this.state = state
    this.options.onState(state)
  }
}

/** Browsers tell when the network is back. */
function listen(verb: 'add' | 'remove', listener: () => void): void {
  const target = globalThis as Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>>
  if (typeof document === 'undefined') return
  if (verb === 'add') target.addEventListener?.('online', listener)
  else target.removeEventListener?.('online', listener)
}
