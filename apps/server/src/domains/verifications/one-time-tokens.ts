import { and, eq, gt, inArray, isNull } from 'drizzle-orm'
import type { Metadata } from '../../database/columns.ts'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type IdKind, newId } from '../../kernel/ids.ts'
import { hashToken, newToken } from '../../kernel/secrets.ts'
import { oneTimeTokens } from './tables.ts'

export type OneTimeToken = typeof oneTimeTokens.$inferSelect
export type OneTimeTokenKind = OneTimeToken['kind']

/** Kinds that applications see. */
const idKinds: Partial<Record<OneTimeTokenKind, IdKind>> = { sign_in_token: 'signInToken', actor_token: 'actorToken' }

/** Kinds that arrive in links and open a sign-in or sign-up. */
const ticketKinds: OneTimeTokenKind[] = ['sign_in_token', 'actor_token', 'organization_invitation', 'invitation']

/**
 * Makes a bearer value that can be spent once. Only its SHA-256 is stored.
 *
 * @param input.subjectId id of what the token is for: a user, an invitation
 * @param input.token the value to use instead of a new one; 256 random bits
 */
export async function createOneTimeToken(
  tx: Tx,
  input: { kind: OneTimeTokenKind; subjectId: string; payload?: Metadata; expiresAt: Date; token?: string },
): Promise<{ id: string; token: string }> {
  const { token = newToken(), ...row } = input
  const id = newId(idKinds[input.kind] ?? 'oneTimeToken')
  await tx.db
    .insert(oneTimeTokens)
    .values({ id, instanceId: tx.instance.id, ...row, tokenHash: hashToken(token), createdAt: tx.now() })
  return { id, token }
}

/** The token of this kind, whatever became of it. */
export async function findOneTimeToken(
  tx: Tx,
  kind: OneTimeTokenKind,
  token: unknown,
): Promise<OneTimeToken | undefined> {
  return find(tx, [kind], token)
}

/** The token behind a link in an email, of whichever kind that opens a sign-in or sign-up. */
export async function findTicket(tx: Tx, token: unknown): Promise<OneTimeToken | undefined> {
  return find(tx, ticketKinds, token)
}

async function find(tx: Tx, kinds: OneTimeTokenKind[], token: unknown): Promise<OneTimeToken | undefined> {
  if (typeof token !== 'string' || token.length > 512) return undefined
  const [row] = await tx.db
    .select()
    .from(oneTimeTokens)
    .where(and(inArray(oneTimeTokens.kind, kinds), eq(oneTimeTokens.tokenHash, hashToken(token))))
  return row
}

/**
 * Spends a token: of any number of parallel calls one gets it. The kind is part of the key, so a token opens no other
 * door than its own.
 *
 * @throws {UsherError} `ticket_invalid`, `ticket_expired` or `token_used`
 */
export async function consumeOneTimeToken(tx: Tx, kind: OneTimeTokenKind, token: unknown): Promise<OneTimeToken> {
  return spend(tx, await findOneTimeToken(tx, kind, token))
}

/** As {@link consumeOneTimeToken}, for a token that was looked up before. */
export async function consumeOneTimeTokenById(tx: Tx, id: string): Promise<OneTimeToken> {
  const [found] = await tx.db.select().from(oneTimeTokens).where(eq(oneTimeTokens.id, id))
  return spend(tx, found)
}

async function spend(tx: Tx, found: OneTimeToken | undefined): Promise<OneTimeToken> {
  const [spent] = found
    ? await tx.db
        .update(oneTimeTokens)
        .set({ consumedAt: tx.now() })
        .where(
          and(
            eq(oneTimeTokens.id, found.id),
            isNull(oneTimeTokens.consumedAt),
            isNull(oneTimeTokens.revokedAt),
            gt(oneTimeTokens.expiresAt, tx.now()),
          ),
        )
        .returning()
    : []
  if (spent) return spent
  if (!found || found.revokedAt)
    throw new UsherError('ticket_invalid', 'This ticket is not valid.', { param: 'ticket' })
  if (found.expiresAt <= tx.now() && !found.consumedAt)
    throw new UsherError('ticket_expired', 'This ticket has expired.', { param: 'ticket' })
  throw new UsherError('token_used', 'This ticket was used already.', { param: 'ticket' })
}

/**
 * Makes a token of this kind worthless. One that was spent stays spent.
 *
 * @throws {UsherError} `resource_not_found` when there is none that could still be used
 */
export async function revokeOneTimeToken(tx: Tx, kind: OneTimeTokenKind, id: string): Promise<OneTimeToken> {
  const [revoked] = await tx.db
    .update(oneTimeTokens)
    .set({ revokedAt: tx.now() })
    .where(
      and(
        eq(oneTimeTokens.kind, kind),
        eq(oneTimeTokens.id, id),
        isNull(oneTimeTokens.revokedAt),
        isNull(oneTimeTokens.consumedAt),
      ),
    )
    .returning()
  if (!revoked) throw new UsherError('resource_not_found', 'There is no open token with this id.')
  return revoked
}

/** Makes every unspent token of a subject worthless. */
export async function revokeTokensOf(tx: Tx, kind: OneTimeTokenKind, subjectId: string): Promise<void> {
  await tx.db
    .update(oneTimeTokens)
    .set({ revokedAt: tx.now() })
    .where(and(eq(oneTimeTokens.kind, kind), eq(oneTimeTokens.subjectId, subjectId), isNull(oneTimeTokens.consumedAt)))
}
