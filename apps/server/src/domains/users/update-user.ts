import { and, eq, isNotNull } from 'drizzle-orm'
import { type Metadata, type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { tellBeforeDelete } from './hooks.ts'
import { checkMetadataSize, mergeMetadata } from './metadata.ts'
import { getUser, type User, type UserRecord } from './queries.ts'
import { emailAddresses, users } from './tables.ts'
import { takenIdentifier } from './taken-identifier.ts'

export type UpdateUserInput = { id: string } & Partial<
  Pick<
    User,
    | 'externalId'
    | 'username'
    | 'firstName'
    | 'lastName'
    | 'publicMetadata'
    | 'privateMetadata'
    | 'unsafeMetadata'
    | 'banned'
    | 'locked'
    | 'locale'
    | 'bypassClientTrust'
    | 'imageId'
    | 'createOrganizationEnabled'
    | 'createOrganizationsLimit'
    | 'deleteSelfEnabled'
    | 'legalAcceptedAt'
  >
>

/** Changes the named fields. @throws {UsherError} `resource_not_found`, `form_identifier_exists` or `form_param_value_invalid` */
export async function updateUser(ctx: Ctx | Tx, { id, ...fields }: UpdateUserInput): Promise<UserRecord> {
  const { publicMetadata, privateMetadata, unsafeMetadata } = fields
  checkMetadataSize({ publicMetadata, privateMetadata, unsafeMetadata })
  return transaction(ctx, async (tx) => {
    try {
      const changed = await tx.db
        .update(users)
        .set({ ...fields, updatedAt: tx.now() })
        .where(eq(users.id, id))
        .returning({ id: users.id })
      if (changed.length === 0) throw new UsherError('resource_not_found', 'There is no such user.')
    } catch (error) {
      throw takenIdentifier(error)
    }
    emit(tx, { type: 'user.updated', subject: id, data: { user_id: id, ...(fields.banned && { banned: true }) } })
    return getUser(tx, id)
  })
}

export type MetadataChange = { publicMetadata?: Metadata; privateMetadata?: Metadata; unsafeMetadata?: Metadata }

/**
 * Merges metadata deeply; `null` deletes a key. The row is locked, so that two merges at once both arrive.
 *
 * @throws {UsherError} `resource_not_found` or `form_param_value_invalid` when it grows too large
 */
export async function mergeUserMetadata(
  ctx: Ctx | Tx,
  { id, ...change }: { id: string } & MetadataChange,
): Promise<UserRecord> {
  return transaction(ctx, async (tx) => {
    const [user] = await tx.db.select().from(users).where(eq(users.id, id)).for('update')
    if (!user) throw new UsherError('resource_not_found', 'There is no such user.')
    const merged = Object.entries(change).flatMap(([field, patch]) =>
      patch === undefined ? [] : [[field, mergeMetadata(user[field as keyof MetadataChange], patch)] as const],
    )
    return updateUser(tx, { id, ...Object.fromEntries(merged) })
  })
}

/** @throws {UsherError} `resource_not_found` unless it is a proven address of this user */
export async function setPrimaryEmailAddress(
  ctx: Ctx | Tx,
  { userId, emailAddressId }: { userId: string; emailAddressId: string },
): Promise<void> {
  await transaction(ctx, async (tx) => {
    const [address] = await tx.db
      .select({ id: emailAddresses.id })
      .from(emailAddresses)
      .where(
        and(
          eq(emailAddresses.id, emailAddressId),
          eq(emailAddresses.userId, userId),
          isNotNull(emailAddresses.verifiedAt),
        ),
      )
    if (!address) throw new UsherError('resource_not_found', 'This is not a verified email address of this user.')
    await tx.db
      .update(users)
      .set({ primaryEmailAddressId: emailAddressId, updatedAt: tx.now() })
      .where(eq(users.id, userId))
    emit(tx, { type: 'user.updated', subject: userId, data: { user_id: userId } })
  })
}

/** Deletes a user with everything that belongs to them. @throws {UsherError} `resource_not_found` */
export async function deleteUser(ctx: Ctx | Tx, id: string): Promise<void> {
  await transaction(ctx, async (tx) => {
    await tellBeforeDelete(tx, id)
    const [deleted] = await tx.db.delete(users).where(eq(users.id, id)).returning({ externalId: users.externalId })
    if (!deleted) throw new UsherError('resource_not_found', 'There is no such user.')
    const { externalId } = deleted
    emit(tx, {
      type: 'user.deleted',
      subject: id,
      data: { user_id: id, ...(externalId && { external_id: externalId }) },
    })
  })
}
