import WebSocket from 'ws'
import { type UsherServer, UsherUnavailable } from './usher-server.ts'

type Message = { id: string; name: string; data: unknown; from: { user: string | null }; at: number }
type Place = { epoch: string; offset: number }
/** A message with its place, or the word that the channel's history has to be read again. */
type Item = { place: Place; message: Message } | 'refill'

type WireMessage = Omit<Message, 'id'> & { offset: number; epoch?: string }
type Frame =
  | ({ t: 'msg'; ch: string } & WireMessage)
  | { t: 'subbed'; ch: string; epoch: string; offset: number; recovered: boolean }
  | { t: 'history'; id: number; ch: string; epoch: string; messages: WireMessage[] }
  | { t: 'err'; id?: number; ch?: string; code: string; message: string; retryAfterMs?: number }
  | { t: 'role'; ch: string; ended?: boolean; code?: string }
  | { t: 'pong' }

export type ReadOptions = { after?: string | undefined; history?: number; signal?: AbortSignal | undefined }

/** A reader that has not taken so many messages is too slow, and comes back to its place later. */
const longestQueue = 1000
const pageSize = 100
const pages = 10
const pingMs = 20_000
const answerMs = 5_000

/** What one reader has still to take. */
class Queue {
  readonly #items: Item[] = []
  #wake: (() => void) | undefined
  #error: Error | undefined

  push(item: Item): void {
    if (this.#items.length >= longestQueue) this.fail(new Error('The reader is too far behind.'))
    else this.#items.push(item)
    this.#wake?.()
  }

  fail(error: Error): void {
    this.#error ??= error
    this.#wake?.()
  }

  /** @returns undefined when the signal says that nobody waits any more */
  async next(signal: AbortSignal | undefined): Promise<Item | undefined> {
    while (!signal?.aborted) {
      if (this.#error) throw this.#error
      const item = this.#items.shift()
      if (item) return item
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        signal?.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    return undefined
  }
}

/** One channel, for everybody in this process who reads it. */
type Entry = {
  readonly channel: string
  place: Place | undefined
  isLive: boolean
  readonly queues: Set<Queue>
  waiting: (() => void)[]
}

/** The one socket of a process to `/realtime`, as the application's server. It is open while somebody reads. */
export class RealtimeSocket {
  readonly #server: UsherServer
  readonly #entries = new Map<string, Entry>()
  readonly #answers = new Map<number, (frame: Frame | undefined) => void>()
  #socket: WebSocket | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #attempt = 0
  #ids = 0

  constructor(server: UsherServer) {
    this.#server = server
  }

  /** Messages of a channel in their order: those after a place or the newest of the past, then what comes. */
  async *read<T>(
    channel: string,
    { after, history = 0, signal }: ReadOptions = {},
  ): AsyncGenerator<Message & { data: T }> {
    const queue = new Queue()
    const entry = this.#enter(channel, queue)
    try {
      let place = parsePlace(after)
      let wanted = history
      queue.push('refill')
      while (true) {
        const item = await queue.next(signal)
        if (!item) return
        const items = item === 'refill' ? await this.#past(entry, place, wanted, signal) : [item]
        for (const { place: at, message } of items) {
          // Read from the history as well as heard: once is enough. Channels that keep nothing count nothing.
          if (at.offset > 0 && place?.epoch === at.epoch && at.offset <= place.offset) continue
          yield message as Message & { data: T }
          if (at.offset > 0) place = at
        }
        if (item === 'refill') {
          place ??= entry.place && { ...entry.place, offset: 0 }
          wanted = pageSize
        }
      }
    } finally {
      this.#leave(entry, queue)
    }
  }

  /** What was said since a place, or the last messages when there is none, oldest first. */
  async #past(entry: Entry, since: Place | undefined, limit: number, signal: AbortSignal | undefined) {
    while (!signal?.aborted) {
      await this.#untilLive(entry, signal)
      const head = entry.place
      if (signal?.aborted || !head || head.offset === 0) return []
      const isSame = since?.epoch === head.epoch
      // Its history is another one now: what was missed cannot be known, so the newest are shown.
      const wanted = isSame ? head.offset - since.offset : Math.min(since ? pageSize : limit, pageSize)
      if (wanted <= 0) return []
      try {
        return await this.#history(entry, Math.min(wanted, pages * pageSize))
      } catch (error) {
        if (!(error instanceof UsherUnavailable)) throw error
        await new Promise((resolve) => setTimeout(resolve, 250))
      }
    }
    return []
  }

  async #history(entry: Entry, wanted: number): Promise<{ place: Place; message: Message }[]> {
    let found: { place: Place; message: Message }[] = []
    let before: number | undefined
    while (found.length < wanted) {
      const limit = Math.min(pageSize, wanted - found.length)
      const answer = await this.#ask({ t: 'history', ch: entry.channel, limit, ...(before && { before }) })
      if (answer?.t === 'err' && answer.code === 'not_available') return []
      if (answer?.t !== 'history') throw new UsherUnavailable('The history cannot be read now.')
      found = [...answer.messages.map((message) => placed(answer.epoch, message)), ...found]
      before = answer.messages[0]?.offset
      // A page ends at a number of bytes as well: only an empty one is the last.
      if (before === undefined || before === 1) break
    }
    return found
  }

  async #untilLive(entry: Entry, signal: AbortSignal | undefined): Promise<void> {
    while (!entry.isLive && !signal?.aborted && this.#entries.get(entry.channel) === entry)
      await new Promise<void>((resolve) => {
        entry.waiting.push(resolve)
        signal?.addEventListener('abort', () => resolve(), { once: true })
      })
  }

  #enter(channel: string, queue: Queue): Entry {
    let entry = this.#entries.get(channel)
    if (!entry) {
      entry = { channel, place: undefined, isLive: false, queues: new Set(), waiting: [] }
      this.#entries.set(channel, entry)
      this.#subscribe(entry)
    }
    entry.queues.add(queue)
    if (!this.#socket && !this.#timer) this.#open()
    return entry
  }

  #leave(entry: Entry, queue: Queue): void {
    entry.queues.delete(queue)
    if (entry.queues.size > 0) return
    this.#forget(entry)
    this.#say({ t: 'unsub', ch: entry.channel })
    if (this.#entries.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#socket?.close(1000)
  }

  #forget(entry: Entry): void {
    if (this.#entries.get(entry.channel) === entry) this.#entries.delete(entry.channel)
    for (const resolve of entry.waiting.splice(0)) resolve()
  }

  #open(): void {
    this.#timer = undefined
    const url = `${this.#server.apiUrl.replace(/^http/, 'ws')}/realtime`
    const bearer = `bearer.${Buffer.from(this.#server.secretKey).toString('base64url')}`
    const socket = new WebSocket(url, ['usher.v1', bearer], { handshakeTimeout: answerMs, perMessageDeflate: false })
    this.#socket = socket
    let heardAt = Date.now()
    const ping = setInterval(() => {
      if (Date.now() - heardAt > pingMs + answerMs) socket.terminate()
      else this.#say({ t: 'ping' })
    }, pingMs)
    socket.on('open', () => {
      for (const entry of this.#entries.values()) this.#subscribe(entry)
    })
    socket.on('message', (data) => {
      heardAt = Date.now()
      this.#attempt = 0
      this.#hear(JSON.parse(data.toString()) as Frame)
    })
    socket.on('error', () => {}) // 'close' follows and decides
    socket.on('close', () => {
      clearInterval(ping)
      this.#socket = undefined
      for (const entry of this.#entries.values()) entry.isLive = false
      for (const answer of this.#answers.values()) answer(undefined)
      this.#answers.clear()
      if (this.#entries.size === 0) return
      const delay = Math.min(10_000, 250 * 2 ** this.#attempt++) * (0.5 + Math.random() / 2)
      this.#timer = setTimeout(() => this.#open(), delay)
    })
  }

  #subscribe({ channel, place }: Entry): void {
    this.#say({ t: 'sub', ch: channel, ...(place && { since: place }) })
  }

  #say(frame: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame))
  }

  #ask(frame: object): Promise<Frame | undefined> {
    const id = ++this.#ids
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(undefined), answerMs)
      const settle = (answer: Frame | undefined) => {
        clearTimeout(timer)
        this.#answers.delete(id)
        resolve(answer)
      }
      this.#answers.set(id, settle)
      if (this.#socket?.readyState === WebSocket.OPEN) this.#say({ ...frame, id })
      else settle(undefined)
    })
  }

  #hear(frame: Frame): void {
    if ((frame.t === 'history' || frame.t === 'err') && frame.id !== undefined) this.#answers.get(frame.id)?.(frame)
    const entry = 'ch' in frame && frame.ch !== undefined ? this.#entries.get(frame.ch) : undefined
    if (!entry) return
    switch (frame.t) {
      case 'msg': {
        const epoch = frame.epoch ?? entry.place?.epoch ?? ''
        const item = placed(epoch, frame)
        if (frame.offset > 0) entry.place = item.place
        for (const queue of entry.queues) queue.push(item)
        return
      }
      case 'subbed': {
        const wasThere = entry.place !== undefined
        entry.place = { epoch: frame.epoch, offset: frame.offset }
        entry.isLive = true
        for (const resolve of entry.waiting.splice(0)) resolve()
        // What was missed does not come by itself then: every reader looks it up from where it was.
        if (wasThere && !frame.recovered) for (const queue of entry.queues) queue.push('refill')
        return
      }
      case 'role':
        if (!frame.ended) return
        entry.isLive = false
        if (frame.code === 'lost') this.#subscribe(entry)
        else this.#fail(entry, frame.code ?? 'ended')
        return
      case 'err':
        if (frame.id !== undefined) return
        if (frame.code === 'unavailable') setTimeout(() => this.#subscribe(entry), frame.retryAfterMs ?? 1000)
        else if (frame.code !== 'already_subscribed') this.#fail(entry, frame.code)
    }
  }

  #fail(entry: Entry, code: string): void {
    this.#forget(entry)
    for (const queue of entry.queues) queue.fail(new Error(`The channel cannot be read: ${code}.`))
  }
}

function placed(epoch: string, { offset, name, data, from, at }: WireMessage): { place: Place; message: Message } {
  return { place: { epoch, offset }, message: { id: `${epoch}:${offset}`, name, data, from, at } }
}

function parsePlace(id: string | undefined): Place | undefined {
  const [, epoch, offset] = id?.match(/^([^:]{0,64}):(\d{1,15})$/) ?? []
  return epoch === undefined || offset === undefined ? undefined : { epoch, offset: Number(offset) }
}
