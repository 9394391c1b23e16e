import { and, eq, isNull, lte, or, sql } from 'drizzle-orm'
import { type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId, randomBase62 } from '../../kernel/ids.ts'
import { checkName } from '../../kernel/plain-name.ts'
import { hashToken, seal } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { checkClaims, checkScopes, expiryOf } from './check-input.ts'
import { findMembershipId } from './creator.ts'
import { type ApiKey, getRow, isOrphaned } from './queries.ts'
import { idOf, requireSubject, type Subject } from './require-subject.ts'
import { apiKeys } from './tables.ts'

export type CreateApiKeyInput = {
  name: string
  /** Id of a person or an organization. */
  subject?: string | undefined
  description?: string | null | undefined
  /** From the application's server alone: to an application they may be rights. */
  scopes?: string[] | undefined
  claims?: Record<string, unknown> | null | undefined
  /** Who made it; of a person in a browser that is known. */
  createdBy?: string | null | undefined
  /** Absent or null: it does not run out. */
  secondsUntilExpiration?: number | null | undefined
}

/** What the secret of a key is sealed for, where an instance keeps it. */
export const purposeOf = (id: string) => `api_key:${id}`

/**
 * Makes a key.
 *
 * @returns the key, and its secret, which nobody can see again unless the instance says so
 * @throws {UsherError} `token_creation_conflict` for a name that is taken, `token_quota_exceeded`, `forbidden`,
 *   `api_keys_not_enabled`, `form_param_value_invalid`, `form_param_max_length_exceeded`
 */
export async function createApiKey(
  ctx: Ctx | Tx,
  input: CreateApiKeyInput,
): Promise<{ apiKey: ApiKey; secret: string }> {
  return transaction(ctx, async (tx) => {
    const subject = await requireSubject(tx, input.subject, 'manage')
    const isPerson = tx.actor.type === 'user'
    const scopes = checkScopes(subject, isPerson ? [] : (input.scopes ?? []))
    const claims = checkClaims(isPerson ? null : (input.claims ?? null))
    const name = checkName(input.name)
    const now = tx.now()
    const expiresAt = expiryOf(now, input.secondsUntilExpiration ?? null)
    const createdBy = tx.actor.type === 'user' ? tx.actor.userId : (input.createdBy ?? null)
    const creatorMembershipId = await findMembershipId(tx, subject, createdBy)
    await takeTurn(tx, `api keys of ${idOf(subject)}`)
    await makeRoom(tx, subject, name)
    const id = newId('apiKey')
    const secret = `ak_${randomBase62(43)}`
    try {
      await tx.db.insert(apiKeys).values({
        id,
        instanceId: tx.instance.id,
        ...subject,
        name,
        description: input.description || null,
        secretHash: hashToken(secret),
        sealedSecret: tx.instance.settings.apiKeys.readableSecrets
          ? seal(tx.database.keyring, purposeOf(id), secret)
          : null,
        scopes,
        claims,
        createdBy,
        creatorMembershipId,
        madeByMember: isPerson && creatorMembershipId !== null,
        expiresAt,
        createdAt: now,
        updatedAt: now,
      })
    } catch (error) {
      if (isUniqueViolation(error, 'api_keys_name')) throw nameTaken()
      throw error
    }
    emit(tx, { type: 'apiKey.created', subject: id, data: factsOf({ ...subject, name, createdBy }) })
    return { apiKey: await getRow(tx, id), secret }
  })
}

/** What events of a key say beside its id. */
export const factsOf = (key: {
  name: string
  userId?: string | null
  organizationId?: string | null
  createdBy: string | null
}) => ({
  name: key.name,
  ...(key.userId && { user_id: key.userId }),
  ...(key.organizationId && { organization_id: key.organizationId }),
  ...(key.createdBy && { created_by: key.createdBy }),
})

const nameTaken = () =>
  new UsherError('token_creation_conflict', 'There is a key of this name already.', { param: 'name' })

/** Keys that are over give their names up. @throws {UsherError} `token_creation_conflict` or `token_quota_exceeded` */
async function makeRoom(tx: Tx, subject: Subject, name: string): Promise<void> {
  const now = tx.now()
  const own = and(eq(apiKeys.subject, idOf(subject)), isNull(apiKeys.revokedAt))
  const isOver = or(lte(apiKeys.expiresAt, now), isOrphaned)
  await tx.db
    .update(apiKeys)
    .set({ revokedAt: now, revocationReason: 'Its name was given to another key', updatedAt: now })
    .where(and(own, eq(apiKeys.name, name), isOver))
  const { maxPerSubject } = tx.instance.settings.apiKeys
  const [counted] = await tx.db
    .select({
      taken: sql<number>`(count(*) filter (where ${apiKeys.name} = ${name}))::int`,
      good: sql<number>`(count(*) filter (where not coalesce(${isOver}, false)))::int`,
    })
    .from(apiKeys)
    .where(own)
  if (counted && counted.taken > 0) throw nameTaken()
  if (counted && counted.good >= maxPerSubject)
    throw new UsherError('token_quota_exceeded', `There can be ${maxPerSubject} keys at most.`)
}
