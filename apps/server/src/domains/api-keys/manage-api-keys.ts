import { and, count, desc, eq, gt, ilike, isNull, or, sql } from 'drizzle-orm'
import { escapeLike, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { unseal } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { checkClaims, checkScopes, expiryOf } from './check-input.ts'
import { factsOf, purposeOf } from './create-api-key.ts'
import { type ApiKey, getRow, isOrphaned, notFound, selectKeys, toApiKey } from './queries.ts'
import { idOf, requireSubject, type Subject } from './require-subject.ts'
import { apiKeys } from './tables.ts'

export type ListApiKeysInput = Pagination & {
  subject?: string | undefined
  /** Part of a name. */
  query?: string | undefined
  /** Revoked and expired ones too. */
  includeInvalid?: boolean | undefined
}

/** Newest first. @throws {UsherError} as {@link requireSubject} does */
export async function listApiKeys(ctx: Ctx | Tx, input: ListApiKeysInput): Promise<Page<ApiKey>> {
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const subject = await requireSubject(tx, input.subject, 'read')
    const where = and(
      eq(apiKeys.subject, idOf(subject)),
      input.query ? ilike(apiKeys.name, `%${escapeLike(input.query)}%`) : undefined,
      input.includeInvalid
        ? undefined
        : and(
            isNull(apiKeys.revokedAt),
            or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now)),
            sql`not ${isOrphaned}`,
          ),
    )
    const [total] = await tx.db.select({ n: count() }).from(apiKeys).where(where)
    const rows = await selectKeys(tx.db)
      .where(where)
      .orderBy(desc(apiKeys.createdAt), apiKeys.id)
      .limit(input.limit)
      .offset(input.offset)
    return { data: rows.map((row) => toApiKey(row, now)), totalCount: total?.n ?? 0 }
  })
}

/** @throws {UsherError} `resource_not_found`, also for keys of others */
export async function getApiKey(ctx: Ctx | Tx, id: string): Promise<ApiKey> {
  return transaction(ctx, (tx) => getOwn(tx, id, 'read'))
}

/** What somebody may not see is not there for them; what they see and may not change is refused. */
async function getOwn(tx: Tx, id: string, right: 'read' | 'manage'): Promise<ApiKey> {
  const key = await getRow(tx, id)
  const { actor } = tx
  if (actor.type === 'backend' || actor.type === 'system') return key
  const own = actor.type === 'user' ? [actor.userId, actor.organizationId] : []
  if (!own.includes(key.subject)) throw notFound()
  await requireSubject(tx, key.subject, right)
  return key
}

const subjectOf = (key: ApiKey): Subject =>
  key.userId !== null ? { userId: key.userId } : { organizationId: key.subject }

export type UpdateApiKeyInput = {
  id: string
  /** Has to be the one that it has: a key does not change hands. */
  subject?: string | undefined
  description?: string | null | undefined
  scopes?: string[] | undefined
  claims?: Record<string, unknown> | null | undefined
  /** From now on. Null: it does not run out. */
  secondsUntilExpiration?: number | null | undefined
}

/**
 * Changes a key. For the application's server.
 *
 * @throws {UsherError} `forbidden`, `resource_not_found`, `conflict` for one that is revoked, `form_param_value_invalid`
 */
export async function updateApiKey(ctx: Ctx | Tx, input: UpdateApiKeyInput): Promise<ApiKey> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    const key = await getRow(tx, input.id)
    if (input.subject !== undefined && input.subject !== key.subject)
      throw new UsherError('form_param_value_invalid', 'A key does not change hands.', { param: 'subject' })
    const now = tx.now()
    const [changed] = await tx.db
      .update(apiKeys)
      .set({
        ...(input.description !== undefined && { description: input.description || null }),
        ...(input.scopes && { scopes: checkScopes(subjectOf(key), input.scopes) }),
        ...(input.claims !== undefined && { claims: checkClaims(input.claims) }),
        ...(input.secondsUntilExpiration !== undefined && { expiresAt: expiryOf(now, input.secondsUntilExpiration) }),
        updatedAt: now,
      })
      .where(and(eq(apiKeys.id, key.id), isNull(apiKeys.revokedAt)))
      .returning({ id: apiKeys.id })
    if (!changed) throw new UsherError('conflict', 'A revoked key cannot be changed.')
    emit(tx, { type: 'apiKey.updated', subject: key.id, data: factsOf(key) })
    return getRow(tx, key.id)
  })
}

/**
 * Ends a key for good. One that is revoked stays as it is.
 *
 * @throws {UsherError} `resource_not_found`, `forbidden`
 */
export async function revokeApiKey(
  ctx: Ctx | Tx,
  { id, reason }: { id: string; reason?: string | null | undefined },
): Promise<ApiKey> {
  return transaction(ctx, async (tx) => {
    const key = await getOwn(tx, id, 'manage')
    const now = tx.now()
    const [revoked] = await tx.db
      .update(apiKeys)
      .set({ revokedAt: now, revocationReason: reason || null, updatedAt: now })
      .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt)))
      .returning({ id: apiKeys.id })
    if (!revoked) return key
    emit(tx, { type: 'apiKey.revoked', subject: id, data: { ...factsOf(key), ...(reason && { reason }) } })
    return getRow(tx, id)
  })
}

/** For the application's server. @throws {UsherError} `forbidden`, `resource_not_found` */
export async function deleteApiKey(ctx: Ctx | Tx, id: string): Promise<void> {
  requireApplication(ctx)
  await transaction(ctx, async (tx) => {
    const key = await getRow(tx, id)
    const gone = await tx.db.delete(apiKeys).where(eq(apiKeys.id, id)).returning({ id: apiKeys.id })
    if (gone.length === 0) throw notFound()
    emit(tx, { type: 'apiKey.deleted', subject: id, data: factsOf(key) })
  })
}

/**
 * The secret of a key once more, where the instance keeps secrets. For the application's server.
 *
 * @throws {UsherError} `api_key_secret_not_kept`, `forbidden`, `resource_not_found`
 */
export async function getApiKeySecret(ctx: Ctx | Tx, id: string): Promise<string> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    const [row] = await tx.db.select({ sealed: apiKeys.sealedSecret }).from(apiKeys).where(eq(apiKeys.id, id))
    if (!row) throw notFound()
    if (row.sealed === null)
      throw new UsherError('api_key_secret_not_kept', 'The secret of this key was shown once and is not kept.')
    return unseal(tx.database.keyring, purposeOf(id), row.sealed)
  })
}
