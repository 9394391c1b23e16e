import { eq, sql } from 'drizzle-orm'
import { place, prepared, type Tx, transaction, writeLater, writeRow } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { newId } from '../../kernel/ids.ts'
import { hashToken, newToken } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { deleteEmptyClients } from './delete-over.ts'
import { removeClientSessions } from './end-session.ts'
import { clients, clientTokens } from './tables.ts'

export type ClientCarrier = (typeof clientTokens.$inferSelect)['carrier']
/** What the browser has to be told: the value that proves from now on which client it is. */
export type NewClientToken = { token: string; tokenHash: string; carrier: ClientCarrier; expiresAt: Date }

const clientTokenTtlMs = 365 * 24 * 3600_000
/** Other tabs have requests under way when the value changes; what they carry is good for this long. */
const graceMs = 15_000

/** Endings of key hosts with which the browser SDK carries a token of its own instead of a cookie. */
const devBrowserHosts = [
  '.lcl.dev',
  '.stg.dev',
  '.lclstage.dev',
  '.stgstage.dev',
  '.dev.lclclerk.com',
  '.stg.lclclerk.com',
  '.accounts.lclclerk.com',
  'accountsstage.dev',
  'accounts.dev',
]

/** Whether the browser SDK identifies itself by a dev browser token when this host is in its publishable key. */
export function isDevBrowserHost(host: string): boolean {
  return devBrowserHosts.some((ending) => host.endsWith(ending))
}

/**
 * Makes a client, with a value of our own making to prove it: what a browser presented before is never adopted.
 *
 * @param input.presentedHash a dev browser that has no client yet keeps its token until the first sign-in
 */
export async function createClient(
  ctx: Ctx | Tx,
  input: { id?: string; carrier: ClientCarrier; presentedHash?: string | undefined },
): Promise<{ clientId: string; issued: NewClientToken | undefined }> {
  return transaction(ctx, async (tx) => {
    const { id = newId('client'), carrier, presentedHash } = input
    const now = tx.now()
    await writeRow(tx, clients, { id, instanceId: tx.instance.id, createdAt: now, updatedAt: now })
    if (carrier === 'dev_browser' && presentedHash) {
      await tx.db.update(clientTokens).set({ clientId: id }).where(eq(clientTokens.tokenHash, presentedHash))
      return { clientId: id, issued: undefined }
    }
    return { clientId: id, issued: await issueClientToken(tx, id, carrier) }
  })
}

/** Makes a dev browser: a token that no client belongs to yet. */
export async function createDevBrowser(ctx: Ctx | Tx): Promise<NewClientToken> {
  return transaction(ctx, (tx) => issueClientToken(tx, null, 'dev_browser'))
}

/**
 * Gives a client a new value. At a sign-in the old one stops at once, so that a value planted beforehand is worth
 * nothing; an old dev browser token lives on without a client. Elsewhere the old one is good for some seconds more.
 */
export async function rotateClientToken(
  tx: Tx,
  input: { clientId: string; carrier: ClientCarrier; grace?: boolean },
): Promise<NewClientToken> {
  const expiresAt = new Date(tx.now().getTime() + graceMs)
  const mine = eq(clientTokens.clientId, input.clientId)
  if (input.grace) await tx.db.update(clientTokens).set({ expiresAt }).where(mine)
  else if (input.carrier === 'dev_browser') await tx.db.update(clientTokens).set({ clientId: null }).where(mine)
  else await deleteTokens(tx, { clientId: input.clientId })
  const issued = await issueClientToken(tx, input.clientId, input.carrier)
  emit(tx, { type: 'client.updated', subject: input.clientId, data: { client_id: input.clientId } })
  return issued
}

const deleteTokens = prepared((db) =>
  db.delete(clientTokens).where(eq(clientTokens.clientId, sql.placeholder('clientId'))),
)

/** Gives a client a value to prove it by, beside those that it has. */
export async function issueClientToken(
  tx: Tx,
  clientId: string | null,
  carrier: ClientCarrier,
): Promise<NewClientToken> {
  const { issued, row } = newClientToken(tx, clientId, carrier)
  await writeRow(tx, clientTokens, row)
  return issued
}

/** As {@link issueClientToken}, for a client that the transaction makes: both are written together. */
export function issueFirstToken(tx: Tx, clientId: string, carrier: ClientCarrier): NewClientToken {
  const { issued, row } = newClientToken(tx, clientId, carrier)
  writeLater(tx, clientTokens, row)
  return issued
}

function newClientToken(tx: Tx, clientId: string | null, carrier: ClientCarrier) {
  const token = `${carrier === 'dev_browser' ? 'dvb_' : ''}${newToken()}`
  const createdAt = tx.now()
  const expiresAt = new Date(createdAt.getTime() + clientTokenTtlMs)
  const tokenHash = hashToken(token)
  return {
    issued: { token, tokenHash, carrier, expiresAt },
    row: { tokenHash, instanceId: tx.instance.id, clientId, carrier, createdAt, expiresAt },
  }
}

/** Says of a client who was signed in on it at last; what it had under way is over. */
export const noteClientSession = prepared((db) =>
  db
    .update(clients)
    .set({
      lastActiveSessionId: place(clients.lastActiveSessionId, 'sessionId'),
      lastAuthenticationStrategy: place(clients.lastAuthenticationStrategy, 'strategy'),
      signInId: null,
      signUpId: null,
      updatedAt: place(clients.updatedAt, 'now'),
    })
    .where(eq(clients.id, sql.placeholder('id'))),
)

/** Remembers which sign-in or sign-up a client has under way. Null clears it. */
export async function noteClientFlow(
  tx: Tx,
  clientId: string,
  flow: { signInId?: string | null; signUpId?: string | null },
): Promise<void> {
  await tx.db.update(clients).set(flow).where(eq(clients.id, clientId))
  emit(tx, { type: 'client.updated', subject: clientId, data: { client_id: clientId } })
}

/** Ends every session of a client and forgets the client. */
export async function deleteClient(ctx: Ctx | Tx, clientId: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    await removeClientSessions(tx, clientId)
    await tx.db.update(clientTokens).set({ clientId: null }).where(eq(clientTokens.clientId, clientId))
    emit(tx, { type: 'client.deleted', subject: clientId, data: { client_id: clientId } })
    // The row stays for the history of its sessions; without a token nobody can show to be this client.
    await deleteEmptyClients(tx, [clientId])
  })
}
