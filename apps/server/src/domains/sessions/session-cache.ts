import { eq, sql } from 'drizzle-orm'
import { type Database, prepared, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { busOf, type UsherEvent } from '../events/index.ts'
import { findUsers } from '../users/index.ts'
import type { ClientCarrier, NewClientToken } from './clients.ts'
import { type ClientRecord, findClientRow, type SessionRecord, signedInSessions, withPeople } from './queries.ts'
import { clientTokens } from './tables.ts'

type KnownToken = { carrier: ClientCarrier; expiresAt: Date }

/** A client as it was read, with all the tokens that prove it. */
export type CachedClient = {
  instanceId: string
  client: ClientRecord
  tokens: Map<string, KnownToken>
  /** What the record hangs on beside its client: people and organizations. */
  keys: ReadonlySet<string>
  loadedAt: number
  /** Right about who may do what, but no longer about what it only shows, such as how many members there are. */
  outdated: boolean
}

/** What is heard in an instance from a moment on, until it is let go. */
export type Watch = Disposable & { instanceId: string; heard: UsherEvent[] }

/** Clients held in memory; the one unused for longest goes first. */
const maxEntries = 50_000
/** Should an event ever be missed, what it would have said is known after this time. */
const maxAgeMs = 10 * 60_000

/**
 * The session plane's memory: clients with their sessions and people, by the tokens that prove them. Events drop what
 * changed, so a warm client is resolved, shown and given tokens without a query, and with the database away.
 */
export class SessionCache {
  private readonly clients = new Map<string, CachedClient>()
  private readonly byToken = new Map<string, string>()
  private readonly bySession = new Map<string, string>()
  private readonly byKey = new Map<string, Set<CachedClient>>()
  private readonly watches = new Set<Watch>()

  findByToken(ctx: Ctx, tokenHash: string): { token: KnownToken; client: ClientRecord } | undefined {
    const entry = this.find(ctx, this.byToken.get(tokenHash))
    const token = entry?.tokens.get(tokenHash)
    return entry && token && token.expiresAt > ctx.now() ? { token, client: entry.client } : undefined
  }

  findBySession(ctx: Ctx, sessionId: string): SessionRecord | undefined {
    return this.find(ctx, this.bySession.get(sessionId))?.client.sessions.find((s) => s.id === sessionId)
  }

  find(ctx: Ctx, clientId: string | undefined): CachedClient | undefined {
    const entry = clientId === undefined ? undefined : this.clients.get(clientId)
    if (!entry || entry.instanceId !== ctx.instance.id) return undefined
    if (Date.now() - entry.loadedAt > maxAgeMs) {
      this.drop(entry)
      return undefined
    }
    this.clients.delete(entry.client.id)
    this.clients.set(entry.client.id, entry)
    return entry
  }

  /** Reads a client and keeps it, unless something about it changed while it was read. */
  async load(ctx: Ctx, clientId: string): Promise<CachedClient | undefined> {
    using watch = this.watch(ctx)
    const entry = await readClient(ctx, clientId)
    if (entry && !watch.heard.some((event) => effectOn(entry, event) !== 'none')) this.keep(entry)
    return entry
  }

  /** Listens from before something is read until it is kept, or found to be untrue by then. */
  watch(ctx: Ctx): Watch {
    const watch: Watch = {
      instanceId: ctx.instance.id,
      heard: [],
      [Symbol.dispose]: () => this.watches.delete(watch),
    }
    this.watches.add(watch)
    return watch
  }

  /** Keeps a client that was just made, unless something changed about its people since they were read. */
  prime(watch: Watch, entry: CachedClient): void {
    // Nobody else can have known the client: what was heard of it is its own making.
    const isOwn = (event: UsherEvent) => subjectOf(event)?.clientId === entry.client.id
    if (watch.heard.some((event) => !isOwn(event) && effectOn(entry, event) !== 'none')) return
    this.keep(entry)
  }

  private keep(entry: CachedClient): void {
    const known = this.clients.get(entry.client.id)
    if (known) this.drop(known)
    this.clients.set(entry.client.id, entry)
    for (const hash of entry.tokens.keys()) this.byToken.set(hash, entry.client.id)
    for (const session of entry.client.sessions) this.bySession.set(session.id, entry.client.id)
    for (const key of entry.keys) {
      const holders = this.byKey.get(key)
      if (holders) holders.add(entry)
      else this.byKey.set(key, new Set([entry]))
    }
    const [oldest] = this.clients.values()
    if (this.clients.size > maxEntries && oldest) this.drop(oldest)
  }

  private drop(entry: CachedClient): void {
    this.clients.delete(entry.client.id)
    for (const hash of entry.tokens.keys()) this.byToken.delete(hash)
    for (const session of entry.client.sessions) this.bySession.delete(session.id)
    for (const key of entry.keys) {
      const holders = this.byKey.get(key)
      holders?.delete(entry)
      if (holders?.size === 0) this.byKey.delete(key)
    }
  }

  /** Forgets what an event makes untrue. */
  hear(event: UsherEvent): void {
    const subject = subjectOf(event)
    if (!subject) return
    for (const watch of this.watches) if (watch.instanceId === event.instanceId) watch.heard.push(event)
    for (const entry of this.entriesOf(event, subject)) {
      const effect = effectOn(entry, event)
      if (effect === 'drop') this.drop(entry)
      else if (effect === 'outdate') entry.outdated = true
    }
  }

  private entriesOf(event: UsherEvent, { clientId, keys, everybody }: Subject): CachedClient[] {
    if (everybody) return [...this.clients.values()].filter((e) => e.instanceId === event.instanceId)
    const entry = clientId === undefined ? undefined : this.clients.get(clientId)
    return [...(entry ? [entry] : []), ...(keys ?? []).flatMap((key) => [...(this.byKey.get(key) ?? [])])]
  }
}

type Subject = { clientId?: string; keys?: string[]; everybody?: boolean }

const userKey = (id: unknown) => `user:${id}`
const organizationKey = (id: unknown) => `organization:${id}`

/** What an event is about, if this memory holds anything of the kind. */
function subjectOf({ type, subject, data }: UsherEvent): Subject | undefined {
  switch (type.split('.', 1)[0]) {
    case 'session':
    case 'client':
      return typeof data.client_id === 'string' ? { clientId: data.client_id } : undefined
    case 'user':
      return { keys: [userKey(subject)] }
    case 'organizationMembership':
      return { keys: [userKey(data.user_id), organizationKey(data.organization_id)] }
    case 'organizationInvitation':
      return { keys: [organizationKey(data.organization_id)] }
    case 'organization':
      return { keys: [organizationKey(subject)] }
    case 'groupMembership':
      return { keys: [userKey(data.user_id)] }
    case 'group':
      return { keys: [organizationKey(data.organization_id)] }
    case 'featureGrant':
      return { keys: [data.user_id ? userKey(data.user_id) : organizationKey(data.organization_id)] }
    case 'role':
    case 'permission':
      // What was just made nobody has; an organization's own role nobody else has.
      if (type.endsWith('.created')) return undefined
      return data.organization_id ? { keys: [organizationKey(data.organization_id)] } : { everybody: true }
    case 'feature':
      return { everybody: true }
    default:
      return undefined
  }
}

/** What an event does to a client that was read: nothing, or it makes a number in it wrong, or more than that. */
function effectOn(entry: CachedClient, event: UsherEvent): 'none' | 'outdate' | 'drop' {
  const subject = entry.instanceId === event.instanceId ? subjectOf(event) : undefined
  if (!subject) return 'none'
  if (subject.everybody || subject.clientId === entry.client.id) return 'drop'
  const key = subject.keys?.find((k) => entry.keys.has(k))
  if (key === undefined) return 'none'
  // Who joins somebody else's organization changes no more here than its number of members.
  const shownOnly = event.type.startsWith('organizationInvitation.') || event.type.startsWith('organizationMembership.')
  return shownOnly && !key.startsWith('user:') ? 'outdate' : 'drop'
}

/** Who acts, if that is a user of the instance and not a name that the application gave. */
const actorUserId = ({ actor }: SessionRecord) => (actor?.sub.startsWith('user_') ? actor.sub : undefined)

const tokensOf = prepared((db) =>
  db
    .select()
    .from(clientTokens)
    .where(eq(clientTokens.clientId, sql.placeholder('clientId'))),
)

async function readClient(ctx: Ctx, clientId: string): Promise<CachedClient | undefined> {
  return transaction(ctx, async (tx) => {
    const [[client], tokens, signedIn] = await Promise.all([
      findClientRow(tx, { id: clientId }),
      tokensOf(tx, { clientId }),
      signedInSessions(tx, clientId),
    ])
    if (!client) return undefined
    const open = await withPeople(tx, signedIn)
    const acting = await findUsers(
      tx,
      open.flatMap((s) => actorUserId(s) ?? []),
    )
    const sessions = open.filter((s) => {
      const actorId = actorUserId(s)
      // Who acts for somebody has to be welcome themselves.
      return !s.user.banned && (!actorId || acting.some((a) => a.id === actorId && !a.banned))
    })
    return entryOf(
      { ...client, sessions },
      tokens.map((t) => [t.tokenHash, { carrier: t.carrier, expiresAt: t.expiresAt }]),
    )
  })
}

function entryOf(client: ClientRecord, tokens: [hash: string, token: KnownToken][]): CachedClient {
  const keys = client.sessions.flatMap((s) => [
    userKey(s.userId),
    ...(actorUserId(s) ? [userKey(actorUserId(s))] : []),
    ...s.memberships.map((m) => organizationKey(m.organizationId)),
  ])
  return {
    instanceId: client.instanceId,
    client,
    tokens: new Map(tokens),
    keys: new Set(keys),
    loadedAt: Date.now(),
    outdated: false,
  }
}

/** Listens to what changes in an instance from now on, for {@link primeSessions}. */
export function watchSessions(ctx: Ctx): Watch {
  return sessionCacheOf(ctx.database).watch(ctx)
}

/** Remembers a client that this request made: its first requests need no query. */
export function primeSessions(ctx: Ctx, watch: Watch, client: ClientRecord, token: NewClientToken): void {
  const { tokenHash, carrier, expiresAt } = token
  sessionCacheOf(ctx.database).prime(watch, entryOf(client, [[tokenHash, { carrier, expiresAt }]]))
}

const caches = new WeakMap<Database, SessionCache>()

/** The memory that belongs to a database, kept true by this node's bus. */
export function sessionCacheOf(database: Database): SessionCache {
  const known = caches.get(database)
  if (known) return known
  const cache = new SessionCache()
  busOf(database)?.subscribe((event) => cache.hear(event))
  caches.set(database, cache)
  return cache
}
