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
 * Keeps every actor of this process true: reads the instance's events in their order, without gaps, for all of them
 * together, and asks the server anew about those whom one concerns. It runs only while somebody is connected.
 */
export class AuthFeed {
  readonly #server: UsherServer
  readonly #actors = new Set<LiveAuth>()
  /** Actors to ask about; true if news came in while the answer was under way. */
  readonly #stale = new Set<LiveAuth>()
  readonly #checking = new Set<LiveAuth>()
  #starting: Promise<void> | undefined
  #cursor = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #heardAt = 0

  constructor(server: UsherServer) {
    this.#server = server
  }

  /** Begins to listen: what happens after this resolved is not missed by an actor that is added at once. */
  async ready(): Promise<void> {
    if (this.#timer) return
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined
    })
    await this.#starting
  }

  add(auth: LiveAuth): void {
    this.#actors.add(auth)
    auth.onEnd(() => {
      this.#actors.delete(auth)
      this.#stale.delete(auth)
      if (this.#actors.size === 0) this.#stop()
    })
    if (!this.#timer) void this.ready().catch(() => {})
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
    // No event is younger than now: the answer holds none, and says where the stream ends.
    const page = await this.#read(`after=0&limit=1&since=${Date.now() + 60_000}`)
    this.#cursor = page.cursor
    this.#heardAt = Date.now()
    this.#schedule()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#poll(), pollMs)
    this.#timer.unref?.()
  }

  async #poll(): Promise<void> {
    try {
      let page: Page
      do {
        page = await this.#read(`after=${this.#cursor}&limit=500&${query}`)
        this.#cursor = Math.max(this.#cursor, page.cursor)
        for (const event of page.data) this.#hear(event)
      } while (page.has_more)
      this.#heardAt = Date.now()
      this.#work()
    } catch (error) {
      if (!(error instanceof UsherUnavailable)) throw error
      if (Date.now() - this.#heardAt > longestSilenceMs) for (const auth of [...this.#actors]) auth.end('unverifiable')
    }
    if (this.#timer) this.#schedule()
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
