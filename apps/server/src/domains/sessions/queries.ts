import { and, count, desc, eq, gt, inArray, lte, or, type SQL, sql } from 'drizzle-orm'
import { prepared, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Page } from '../../kernel/pagination.ts'
import { findMembershipsOfUsers, type MembershipRecord } from '../organizations/index.ts'
import { findUsers, type UserRecord } from '../users/index.ts'
import { isSignedIn, sessionStatusAt } from './session-status.ts'
import { clients, sessions } from './tables.ts'

export type Client = typeof clients.$inferSelect
export type Session = typeof sessions.$inferSelect
/** A session with the person it belongs to and their organizations. */
export type SessionRecord = Session & { user: UserRecord; memberships: MembershipRecord[] }
/** A client with the sessions that are signed in on it, oldest first. */
export type ClientRecord = Client & { sessions: SessionRecord[] }

const signedInStatuses: Session['status'][] = ['active', 'pending']

/** Rows of the sessions that are signed in on a client, oldest first. */
export async function signedInSessions(tx: Tx, clientId: string): Promise<Session[]> {
  const rows = await openSessionsOf(tx, { clientId })
  return rows.filter((s) => isSignedIn(s, tx.now()))
}

const openSessionsOf = prepared((db) =>
  db
    .select()
    .from(sessions)
    .where(and(eq(sessions.clientId, sql.placeholder('clientId')), inArray(sessions.status, signedInStatuses)))
    .orderBy(sessions.createdAt),
)

/** The row of a client. */
export const findClientRow = prepared((db) =>
  db
    .select()
    .from(clients)
    .where(eq(clients.id, sql.placeholder('id'))),
)

/** Adds people and memberships to sessions: as many queries, however many sessions. */
export async function withPeople(tx: Tx, rows: Session[]): Promise<SessionRecord[]> {
  if (rows.length === 0) return []
  const userIds = [...new Set(rows.map((s) => s.userId))]
  const [users, memberships] = await Promise.all([findUsers(tx, userIds), findMembershipsOfUsers(tx, userIds)])
  return rows.flatMap((session) => {
    const user = users.find((u) => u.id === session.userId)
    return user ? [{ ...session, user, memberships: memberships.filter((m) => m.userId === user.id) }] : []
  })
}

/** A client as its browser sees it. */
export async function findClient(ctx: Ctx | Tx, id: string): Promise<ClientRecord | undefined> {
  return transaction(ctx, async (tx) => {
    const [[client], signedIn] = await Promise.all([findClientRow(tx, { id }), signedInSessions(tx, id)])
    if (!client) return undefined
    const open = await withPeople(tx, signedIn)
    return { ...client, sessions: open.filter((s) => !s.user.banned) }
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getClient(ctx: Ctx | Tx, id: string): Promise<ClientRecord> {
  const client = await findClient(ctx, id)
  if (!client) throw new UsherError('resource_not_found', 'There is no such client.')
  return client
}

/** Clients with their signed-in sessions, newest first. */
export async function listClients(
  ctx: Ctx | Tx,
  input: { limit: number; offset: number },
): Promise<Page<Client & { sessions: SessionRecord[] }>> {
  return transaction(ctx, async (tx) => {
    const rows = await tx.db
      .select()
      .from(clients)
      .orderBy(desc(clients.createdAt), clients.id)
      .limit(input.limit)
      .offset(input.offset)
    const [total] = await tx.db.select({ n: count() }).from(clients)
    const ids = rows.map((c) => c.id)
    const found = ids.length
      ? await tx.db
          .select()
          .from(sessions)
          .where(and(inArray(sessions.clientId, ids), inArray(sessions.status, signedInStatuses)))
      : []
    const records = await withPeople(
      tx,
      found.filter((s) => isSignedIn(s, tx.now())),
    )
    return {
      data: rows.map((c) => ({ ...c, sessions: records.filter((s) => s.clientId === c.id) })),
      totalCount: total?.n ?? 0,
    }
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getSession(ctx: Ctx | Tx, id: string): Promise<SessionRecord> {
  return transaction(ctx, async (tx) => {
    const [session] = await withPeople(tx, await tx.db.select().from(sessions).where(eq(sessions.id, id)))
    if (!session) throw new UsherError('resource_not_found', 'There is no such session.')
    return { ...session, status: sessionStatusAt(session, tx.now()) }
  })
}

/** As {@link sessionStatusAt}, in SQL. */
function hasStatus(status: Session['status'], now: Date): SQL {
  const stored = eq(sessions.status, status)
  const open = inArray(sessions.status, signedInStatuses)
  if (status === 'expired') return or(stored, and(open, lte(sessions.expireAt, now))) as SQL
  if (status === 'abandoned')
    return or(stored, and(open, lte(sessions.abandonAt, now), gt(sessions.expireAt, now))) as SQL
  if (!signedInStatuses.includes(status)) return stored
  return and(stored, gt(sessions.expireAt, now), gt(sessions.abandonAt, now)) as SQL
}

export type SessionFilter = { userId?: string; clientId?: string; status?: Session['status'] }

/** Sessions of whatever status, newest first. */
export async function listSessions(
  ctx: Ctx | Tx,
  input: SessionFilter & { limit: number; offset: number },
): Promise<Page<SessionRecord>> {
  return transaction(ctx, async (tx) => {
    const conditions: SQL[] = []
    if (input.userId) conditions.push(eq(sessions.userId, input.userId))
    if (input.clientId) conditions.push(eq(sessions.clientId, input.clientId))
    if (input.status) conditions.push(hasStatus(input.status, tx.now()))
    const where = and(...conditions)
    const rows = await tx.db
      .select()
      .from(sessions)
      .where(where)
      .orderBy(desc(sessions.createdAt), sessions.id)
      .limit(input.limit)
      .offset(input.offset)
    const [total] = await tx.db.select({ n: count() }).from(sessions).where(where)
    const records = await withPeople(tx, rows)
    return {
      data: records.map((s) => ({ ...s, status: sessionStatusAt(s, tx.now()) })),
      totalCount: total?.n ?? 0,
    }
  })
}
