import { and, eq, gt } from 'drizzle-orm'
import { type Database, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { hashToken } from '../../kernel/secrets.ts'
import { busOf, type UsherEvent } from '../events/index.ts'
import { findMembershipsOfUsers, type MembershipRecord } from '../organizations/index.ts'
import { findUsers } from '../users/index.ts'
import type { ClientCarrier } from './clients.ts'
import { type Session, signedInSessions } from './queries.ts'
import { clients, clientTokens, sessions } from './tables.ts'

/** What minting a token needs to know about a session. */
export type SessionState = Pick<
  Session,
  | 'id'
  | 'clientId'
  | 'userId'
  | 'status'
  | 'lastActiveOrganizationId'
  | 'firstFactorAt'
  | 'secondFactorAt'
  | 'actor'
  | 'expireAt'
  | 'abandonAt'
  | 'lastActiveAt'
> & { memberships: MembershipRecord[] }

/** A client and the sessions that were signed in on it when it was read. Compare their times before use. */
export type ClientState = {
  id: string
  lastActiveSessionId: string | null
  updatedAt: Date
  sessions: SessionState[]
}

/** Whom a browser's token stands for. A dev browser may have no client yet. */
export type IdentifiedClient = {
  tokenHash: string
  carrier: ClientCarrier
  expiresAt: Date
  client: ClientState | undefined
}

type Entry = { instanceId: string; state: ClientState; tokens: Map<string, KnownToken>; loadedAt: number }
type KnownToken = { carrier: ClientCarrier; expiresAt: Date }
type Load = { instanceId: string; stale: boolean }

/** Clients held in memory; the one unused for longest goes first. */
const maxEntries = 50_000
/** Should an event ever be missed, what it would have said is known after this time. */
const maxAgeMs = 10 * 60_000

/**
 * The session plane's memory: clients by the tokens that prove them. Events drop what changed, so a warm client is
 * resolved and its tokens are minted without a query, and with the database away.
 */
class SessionCache {
  private readonly clients = new Map<string, Entry>()
  private readonly byToken = new Map<string, string>()
  private readonly bySession = new Map<string, string>()
  private readonly loads = new Set<Load>()

  findByToken(ctx: Ctx, tokenHash: string): IdentifiedClient | undefined {
    const entry = this.use(ctx, this.byToken.get(tokenHash))
    const token = entry?.tokens.get(tokenHash)
    if (!entry || !token || token.expiresAt <= ctx.now()) return undefined
    return { tokenHash, ...token, client: entry.state }
  }

  findBySession(ctx: Ctx, sessionId: string): SessionState | undefined {
    return this.use(ctx, this.bySession.get(sessionId))?.state.sessions.find((s) => s.id === sessionId)
  }

  private use(ctx: Ctx, clientId: string | undefined): Entry | undefined {
    const entry = clientId === undefined ? undefined : this.clients.get(clientId)
    if (!entry || entry.instanceId !== ctx.instance.id) return undefined
    if (Date.now() - entry.loadedAt > maxAgeMs) {
      this.drop(entry)
      return undefined
    }
    this.clients.delete(entry.state.id)
    this.clients.set(entry.state.id, entry)
    return entry
  }

  /** Reads a client and keeps it, unless something changed while it was read. */
  async load(ctx: Ctx, clientId: string): Promise<Entry | undefined> {
    const load = { instanceId: ctx.instance.id, stale: false }
    this.loads.add(load)
    try {
      const entry = await readClient(ctx, clientId)
      if (entry && !load.stale) this.keep(entry)
      return entry
    } finally {
      this.loads.delete(load)
    }
  }

  private keep(entry: Entry): void {
    const known = this.clients.get(entry.state.id)
    if (known) this.drop(known)
    this.clients.set(entry.state.id, entry)
    for (const hash of entry.tokens.keys()) this.byToken.set(hash, entry.state.id)
    for (const session of entry.state.sessions) this.bySession.set(session.id, entry.state.id)
    const [oldest] = this.clients.values()
    if (this.clients.size > maxEntries && oldest) this.drop(oldest)
  }

  private drop(entry: Entry): void {
    this.clients.delete(entry.state.id)
    for (const hash of entry.tokens.keys()) this.byToken.delete(hash)
    for (const session of entry.state.sessions) this.bySession.delete(session.id)
  }

  /** Forgets what an event makes untrue. */
  hear(event: UsherEvent): void {
    const { client_id: clientId, user_id: userId } = event.data
    const [kind] = event.type.split('.')
    if (kind === 'session' || kind === 'client') {
      this.markLoads(event.instanceId)
      const entry = typeof clientId === 'string' ? this.clients.get(clientId) : undefined
      if (entry) this.drop(entry)
    } else if (kind === 'user' || kind === 'organizationMembership') {
      const changed = kind === 'user' ? event.subject : userId
      this.dropWhere(event.instanceId, (e) => e.state.sessions.some((s) => s.userId === changed))
    } else if (kind === 'organization') {
      const holds = (s: SessionState) => s.memberships.some((m) => m.organizationId === event.subject)
      this.dropWhere(event.instanceId, (e) => e.state.sessions.some(holds))
    } else if (kind === 'role' || kind === 'permission') {
      this.dropWhere(event.instanceId, () => true)
    }
  }

  private dropWhere(instanceId: string, applies: (entry: Entry) => boolean): void {
    this.markLoads(instanceId)
    for (const entry of this.clients.values()) if (entry.instanceId === instanceId && applies(entry)) this.drop(entry)
  }

  private markLoads(instanceId: string): void {
    for (const load of this.loads) if (load.instanceId === instanceId) load.stale = true
  }
}

const caches = new WeakMap<Database, SessionCache>()

function cacheOf(database: Database): SessionCache {
  const known = caches.get(database)
  if (known) return known
  const cache = new SessionCache()
  busOf(database)?.subscribe((event) => cache.hear(event))
  caches.set(database, cache)
  return cache
}

async function readClient(ctx: Ctx, clientId: string): Promise<Entry | undefined> {
  return transaction(ctx, async (tx) => {
    const [client] = await tx.db.select().from(clients).where(eq(clients.id, clientId))
    if (!client) return undefined
    const tokens = await tx.db.select().from(clientTokens).where(eq(clientTokens.clientId, clientId))
    const open = await signedInSessions(tx, clientId)
    const users = await findUsers(tx, [...new Set(open.map((s) => s.userId))])
    const welcome = users.filter((u) => !u.banned).map((u) => u.id)
    const rows = open.filter((s) => welcome.includes(s.userId))
    const memberships = rows.length ? await findMembershipsOfUsers(tx, welcome) : []
    return {
      instanceId: ctx.instance.id,
      loadedAt: Date.now(),
      tokens: new Map(tokens.map((t) => [t.tokenHash, { carrier: t.carrier, expiresAt: t.expiresAt }])),
      state: {
        id: client.id,
        lastActiveSessionId: client.lastActiveSessionId,
        updatedAt: client.updatedAt,
        sessions: rows.map((s) => ({ ...s, memberships: memberships.filter((m) => m.userId === s.userId) })),
      },
    }
  })
}

/**
 * Finds the client that a browser's token proves. Undefined when the token is unknown or has run out.
 *
 * @param token value of the client cookie or of the dev browser
 */
export async function identifyClient(
  ctx: Ctx,
  token: string,
  carrier: ClientCarrier,
): Promise<IdentifiedClient | undefined> {
  if (token.length < 20 || token.length > 200) return undefined
  const tokenHash = hashToken(token)
  const cache = cacheOf(ctx.database)
  const known = cache.findByToken(ctx, tokenHash)
  if (known) return known.carrier === carrier ? known : undefined
  const row = await transaction(ctx, async (tx) => {
    const [found] = await tx.db
      .select()
      .from(clientTokens)
      .where(and(eq(clientTokens.tokenHash, tokenHash), gt(clientTokens.expiresAt, tx.now())))
    return found
  })
  if (row?.carrier !== carrier) return undefined
  const entry = row.clientId === null ? undefined : await cache.load(ctx, row.clientId)
  return { tokenHash, carrier, expiresAt: row.expiresAt, client: entry?.state }
}

/** A session by its id, from memory where it can be. Undefined when it has ended. */
export async function findSessionState(ctx: Ctx, sessionId: string): Promise<SessionState | undefined> {
  const cache = cacheOf(ctx.database)
  const known = cache.findBySession(ctx, sessionId)
  if (known) return known
  const row = await transaction(ctx, async (tx) => {
    const [found] = await tx.db.select({ clientId: sessions.clientId }).from(sessions).where(eq(sessions.id, sessionId))
    return found
  })
  const entry = row && (await cache.load(ctx, row.clientId))
  return entry?.state.sessions.find((s) => s.id === sessionId)
}
