import WebSocket from 'ws'
import type { UsherServer } from './usher-server.ts'

type Listener = {
  /** Something about a person changed, or may have while nobody listened. */
  news: (userId: string) => void
}

type Watched = { isLive: boolean; since: number; waiting: ((isLive: boolean) => void)[] }

/** A connection that is gone without a word is noticed within so many milliseconds, twice. */
const pingMs = 2000
const longestDelayMs = 10_000
/** A channel that is not there by then is not waited for. */
const subscribeMs = 1000

const channelOf = (userId: string) => `user:${userId}:auth`
const userOf = (channel: string) => channel.match(/^user:(.+):auth$/)?.[1]

/**
 * The one socket of a process on which Usher says whose rights changed, as the application's server. While it is there
 * and everybody is watched, nothing has to be asked for.
 */
export class AuthSocket {
  readonly #server: UsherServer
  readonly #listener: Listener
  readonly #watched = new Map<string, Watched>()
  #socket: WebSocket | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempt = 0
  #isWanted = false

  constructor(server: UsherServer, listener: Listener) {
    this.#server = server
    this.#listener = listener
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  /** Whether news of everybody who is watched arrive. Who has only just been added is still being subscribed. */
  get covers(): boolean {
    if (!this.isOpen) return false
    const now = Date.now()
    for (const { isLive, since } of this.#watched.values()) if (!isLive && now - since > subscribeMs) return false
    return true
  }

  open(): void {
    if (this.#isWanted) return
    this.#isWanted = true
    this.#connect()
  }

  close(): void {
    this.#isWanted = false
    clearTimeout(this.#timer)
    this.#watched.clear()
    this.#socket?.close(1000)
  }

  /** @returns whether news of a person arrive from now on; false where there is no socket, or no answer */
  async watch(userId: string): Promise<boolean> {
    let entry = this.#watched.get(userId)
    if (!entry) {
      entry = { isLive: false, since: Date.now(), waiting: [] }
      this.#watched.set(userId, entry)
      this.#say({ t: 'sub', ch: channelOf(userId) })
    }
    if (entry.isLive || !this.isOpen) return entry.isLive
    const { waiting } = entry
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(settle), 1)
        resolve(false)
      }, subscribeMs)
      timer.unref?.()
      const settle = (isLive: boolean) => {
        clearTimeout(timer)
        resolve(isLive)
      }
      waiting.push(settle)
    })
  }

  unwatch(userId: string): void {
    if (this.#watched.delete(userId)) this.#say({ t: 'unsub', ch: channelOf(userId) })
  }

  #connect(): void {
    const url = `${this.#server.apiUrl.replace(/^http/, 'ws')}/realtime`
    const bearer = `bearer.${Buffer.from(this.#server.secretKey).toString('base64url')}`
    const socket = new WebSocket(url, ['usher.v1', bearer], { handshakeTimeout: pingMs, perMessageDeflate: false })
    this.#socket = socket
    let heardAt = Date.now()
    const ping = setInterval(() => {
      if (Date.now() - heardAt > 2 * pingMs) socket.terminate()
      else this.#say({ t: 'ping' })
    }, pingMs)
    ping.unref?.()
    socket.on('open', () => {
      const now = Date.now()
      for (const [userId, entry] of this.#watched) {
        entry.since = now
        this.#say({ t: 'sub', ch: channelOf(userId) })
      }
    })
    socket.on('message', (data) => {
      heardAt = Date.now()
      this.#attempt = 0
      this.#hear(JSON.parse(data.toString()))
    })
    socket.on('error', () => {}) // 'close' follows and decides
    socket.on('close', () => {
      clearInterval(ping)
      if (this.#socket !== socket) return
      this.#socket = undefined
      for (const entry of this.#watched.values()) this.#settle(entry, false)
      if (!this.#isWanted) return
      const delay = Math.min(longestDelayMs, 250 * 2 ** this.#attempt++) * (0.5 + Math.random() / 2)
      this.#timer = setTimeout(() => this.#isWanted && this.#connect(), delay)
      this.#timer.unref?.()
    })
  }

  #say(frame: object): void {
    if (this.isOpen) this.#socket?.send(JSON.stringify(frame))
  }

  #hear(frame: { t: string; ch?: string; ended?: boolean; code?: string }): void {
    const userId = frame.ch === undefined ? undefined : userOf(frame.ch)
    const entry = userId === undefined ? undefined : this.#watched.get(userId)
    if (userId === undefined || !entry) return
    if (frame.t === 'msg') this.#listener.news(userId)
    else if (frame.t === 'subbed') {
      // Who waits for it asks afterwards. Nobody does after a reconnect, or where it took too long.
      const isAwaited = entry.waiting.length > 0
      this.#settle(entry, true)
      if (!isAwaited) this.#listener.news(userId)
    }
    if (frame.t === 'err') {
      this.#settle(entry, false)
      if (frame.code !== 'unavailable') return
      setTimeout(() => this.#watched.has(userId) && this.#say({ t: 'sub', ch: channelOf(userId) }), 1000).unref?.()
    } else if (frame.t === 'role' && frame.ended) {
      this.#settle(entry, false)
      this.#say({ t: 'sub', ch: channelOf(userId) })
    }
  }

  #settle(entry: Watched, isLive: boolean): void {
    entry.isLive = isLive
    for (const resolve of entry.waiting.splice(0)) resolve(isLive)
  }
}
