import { AuthSocket } from './auth-socket.ts'
import type { Actor, LiveAuth } from './live-auth.ts'
import { once } from './process-state.ts'
import { type UsherServer, UsherUnavailable } from './usher-server.ts'

/** What can end somebody's rights or change them. Everything else in the stream is not read. */
const types = [
  'session.ended',
  'session.removed',
  'session.revoked',
  'session.replaced',
  'session.updated',
  'user.updated',
  'user.deleted',
  'organizationMembership.updated',
  'organizationMembership.deleted',
  'organization.updated',
  'organization.deleted',
  'role.*',
  'roleSet.*',
  'permission.*',
  'feature.*',
  'group.*',
]
const query = types.map((type) => `type=${encodeURIComponent(type)}`).join('&')

type FeedEvent = { type: string; subject: string }
type Page = { data: FeedEvent[]; has_more: boolean; cursor: number }

const pollMs = 250
/** Nobody is vouched for longer than this when Usher cannot be asked. */
const longestSilenceMs = 30_000
const checksAtOnce = 8

/**
 * Keeps every actor of this process true: hears on one socket whose rights changed, and asks the server anew about those.
 * While there is no socket it reads the instance's events instead, in their order and without gaps. It runs only while
 * somebody is connected.
 */
export class AuthFeed {
  readonly #server: UsherServer
  readonly #socket: AuthSocket
  readonly #actors = new Set<LiveAuth>()
  readonly #byUser = new Map<string, Set<LiveAuth>>()
  /** Actors to ask about; true if news came in while the answer was under way. */
  readonly #stale = new Set<LiveAuth>()
  readonly #checking = new Set<LiveAuth>()
  #starting: Promise<void> | undefined
  /** Where the stream of events was read to; undefined: it is not being read. */
  #cursor: number | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #heardAt = 0

  constructor(server: UsherServer) {
    this.#server = server
    this.#socket = new AuthSocket(server, {
      news: (userId) => {
        for (const auth of this.#byUser.get(userId) ?? []) this.#stale.add(auth)
        this.#work()
      },
    })
  }

  /** Begins to listen. */
  async #ready(): Promise<void> {
    if (this.#timer) return
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined
    })
    await this.#starting
  }

  /** From when this resolves on nothing that concerns the actor is missed: asking comes after it. */
  async add(auth: LiveAuth): Promise<void> {
    const { userId } = auth.actor
    this.#actors.add(auth)
    const same = this.#byUser.get(userId) ?? new Set()
    this.#byUser.set(userId, same.add(auth))
    auth.onEnd(() => {
      this.#actors.delete(auth)
      this.#stale.delete(auth)
      same.delete(auth)
      if (same.size === 0 && this.#byUser.get(userId) === same) {
        this.#byUser.delete(userId)
        this.#socket.unwatch(userId)
      }
      if (this.#actors.size === 0) this.#stop()
    })
    await this.#ready()
    // Gone in the meantime: who is watched now nobody would take off the list.
    if (auth.ended) return
    if (!(await this.#socket.watch(userId))) await this.#readFromHere()
  }

  /** Asks the server about an actor and changes or ends it. */
  async check(auth: LiveAuth): Promise<void> {
    const { userId, sessionId, organizationId } = auth.actor
    const [session, membership] = await Promise.all([
      sessionId ? this.#server.findSession(sessionId) : undefined,
      organizationId ? this.#server.findMembership(userId, organizationId) : undefined,
    ])
    if (sessionId && session?.userId !== userId) return auth.end('session_ended')
    if (organizationId && !membership) return auth.end('forbidden')
    auth.membershipId = membership?.id
    const actor: Actor = { ...auth.actor, role: membership?.role ?? null, permissions: membership?.permissions ?? [] }
    auth.change(actor)
  }

  async #start(): Promise<void> {
    this.#socket.open()
    await this.#readFromHere()
    // Everybody may have gone while it began, and somebody else come.
    if (this.#actors.size === 0) return this.#stop()
    this.#socket.open()
    this.#schedule()
  }

  /** No event is younger than now: the answer holds none, and says where the stream ends. */
  async #readFromHere(): Promise<void> {
    if (this.#cursor !== undefined) return
    const page = await this.#read(`after=0&limit=1&since=${Date.now() + 60_000}`)
    this.#cursor ??= page.cursor
    this.#heardAt = Date.now()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#cursor = undefined
    this.#socket.close()
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), pollMs)
    this.#timer.unref?.()
  }

  async #look(): Promise<void> {
    if (this.#socket.covers) {
      this.#heardAt = Date.now()
      this.#cursor = undefined
    } else await this.#poll()
    if (this.#timer) this.#schedule()
  }

  async #poll(): Promise<void> {
    try {
      if (this.#cursor === undefined) {
        await this.#readFromHere()
        this.#askAboutAll()
      }
      let page: Page
      do {
        page = await this.#read(`after=${this.#cursor ?? 0}&limit=500&${query}`)
        this.#cursor = Math.max(this.#cursor ?? 0, page.cursor)
        for (const event of page.data) this.#hear(event)
      } while (page.has_more)
      this.#heardAt = Date.now()
      this.#work()
    } catch (error) {
      if (!(error instanceof UsherUnavailable)) throw error
      if (Date.now() - this.#heardAt > longestSilenceMs) for (const auth of [...this.#actors]) auth.end('unverifiable')
    }
  }

  #askAboutAll(): void {
    for (const auth of this.#actors) this.#stale.add(auth)
    this.#work()
  }

  #hear({ type, subject }: FeedEvent): void {
    for (const auth of this.#actors) if (concerns(auth, type, subject)) this.#stale.add(auth)
  }

  #work(): void {
    for (const auth of this.#stale) {
      if (this.#checking.size >= checksAtOnce) return
      // Being asked about already: the answer may be older than the news, so once more after it.
      if (this.#checking.has(auth)) continue
      this.#stale.delete(auth)
      this.#checking.add(auth)
      this.check(auth)
        .catch(() => void this.#stale.add(auth))
        .finally(() => {
          this.#checking.delete(auth)
          if (this.#stale.size > 0 && this.#timer) setTimeout(() => this.#work(), 10).unref?.()
        })
    }
  }

  async #read(search: string): Promise<Page> {
    const page = await this.#server.get<Page>(`/events?${search}`)
    if (!page) throw new UsherUnavailable('This Usher has no stream of events.')
    return page
  }
}

function concerns(auth: LiveAuth, type: string, subject: string): boolean {
  const { userId, sessionId, organizationId } = auth.actor
  const [kind] = type.split('.')
  if (kind === 'session') return subject === sessionId
  if (kind === 'user') return subject === userId
  if (kind === 'organizationMembership') return subject === auth.membershipId
  if (kind === 'organization') return subject === organizationId
  return organizationId !== null
}

/** The one feed of this process for a server. */
export function feedOf(server: UsherServer): AuthFeed {
  return once(`feed ${server.apiUrl}`, () => new AuthFeed(server))
}
