import { and, eq, inArray, isNotNull, isNull, or } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { type Organization, requirePermission, setOrganizationImage } from '../organizations/index.ts'
import { getUser, type UserRecord, updateUser } from '../users/index.ts'
import { objectStorageOf } from './object-storage.ts'
import { type ProcessedImage, processImage } from './process-image.ts'
import { images } from './tables.ts'

export type Image = { bytes: Uint8Array; contentType: string; digest: string }

type Owner = { userId: string } | { organizationId: string }

/**
 * Sets somebody's picture in place of the one before.
 *
 * @throws {UsherError} `resource_not_found`, `avatar_file_type_invalid`, `avatar_file_size_exceeded`
 */
export async function setUserImage(ctx: Ctx, userId: string, upload: Uint8Array): Promise<UserRecord> {
  await getUser(ctx, userId)
  return store(ctx, { userId }, upload, (tx, imageId) => updateUser(tx, { id: userId, imageId }))
}

/** @throws {UsherError} `resource_not_found` */
export async function deleteUserImage(ctx: Ctx, userId: string): Promise<UserRecord> {
  return transaction(ctx, async (tx) => {
    await remove(tx, { userId })
    return updateUser(tx, { id: userId, imageId: null })
  })
}

/** Sets an organization's logo. @throws {UsherError} `forbidden`, `resource_not_found` and as {@link setUserImage} */
export async function setOrganizationLogo(ctx: Ctx, organizationId: string, upload: Uint8Array): Promise<Organization> {
  // Before the work, so that it is done for those alone who may ask for it.
  await transaction(ctx, (tx) => requirePermission(tx, organizationId, 'org:sys_profile:manage'))
  return store(ctx, { organizationId }, upload, (tx, imageId) =>
    setOrganizationImage(tx, { id: organizationId, imageId }),
  )
}

/** @throws {UsherError} `forbidden`, `resource_not_found` */
export async function deleteOrganizationLogo(ctx: Ctx, organizationId: string): Promise<Organization> {
  return transaction(ctx, async (tx) => {
    const changed = await setOrganizationImage(tx, { id: organizationId, imageId: null })
    await remove(tx, { organizationId })
    return changed
  })
}

/** A picture as it is served. Its id never stands for other bytes. */
export async function findImage(ctx: Ctx, id: string): Promise<Image | undefined> {
  const [row] = await transaction(ctx, (tx) =>
    tx.db
      .select()
      .from(images)
      .where(and(eq(images.id, id), owned)),
  )
  const bytes = row && (row.bytes ?? (await objectStorageOf(ctx.database)?.read(objectKey(ctx, id))))
  return bytes && { bytes, contentType: row.contentType, digest: row.digest }
}

const owned = or(isNotNull(images.userId), isNotNull(images.organizationId))
const ownerless = and(isNull(images.userId), isNull(images.organizationId))

/** Deletes the pictures of owners who are gone, where they are kept too. @returns how many went, `limit` at most */
export async function deleteOwnerlessImages(tx: Tx, limit: number): Promise<number> {
  const some = tx.db.select({ id: images.id }).from(images).where(ownerless).limit(limit)
  const gone = await tx.db.delete(images).where(inArray(images.id, some)).returning({ id: images.id })
  for (const { id } of gone) tx.afterCommit(() => discard(tx, id))
  return gone.length
}

const objectKey = (ctx: Ctx, imageId: string) => `${ctx.instance.id}/${imageId}`

async function store<T>(
  ctx: Ctx,
  owner: Owner,
  upload: Uint8Array,
  use: (tx: Tx, imageId: string) => Promise<T>,
): Promise<T> {
  const image = await processImage(upload)
  const id = newId('image')
  const storage = objectStorageOf(ctx.database)
  if (storage) await write(ctx, id, image)
  try {
    return await transaction(ctx, async (tx) => {
      // First the owner's row, whose lock lets uploads at the same time through one after the other.
      const used = await use(tx, id)
      await remove(tx, owner)
      await tx.db.insert(images).values({
        id,
        instanceId: tx.instance.id,
        ...owner,
        contentType: image.contentType,
        digest: new Bun.CryptoHasher('sha256').update(image.bytes).digest('hex'),
        size: image.bytes.byteLength,
        bytes: storage ? null : image.bytes,
        createdAt: tx.now(),
      })
      return used
    })
  } catch (error) {
    if (storage) await discard(ctx, id)
    throw error
  }
}

async function write(ctx: Ctx, id: string, image: ProcessedImage): Promise<void> {
  try {
    await objectStorageOf(ctx.database)?.write(objectKey(ctx, id), image.bytes, image.contentType)
  } catch (error) {
    ctx.log.error({ reason: (error as { code?: string }).code ?? 'unknown' }, 'the object storage took no picture')
    throw new UsherError('unavailable', 'Pictures cannot be stored at the moment.')
  }
}

async function remove(tx: Tx, owner: Owner): Promise<void> {
  const of = 'userId' in owner ? eq(images.userId, owner.userId) : eq(images.organizationId, owner.organizationId)
  const removed = await tx.db.delete(images).where(of).returning({ id: images.id })
  for (const { id } of removed) tx.afterCommit(() => discard(tx, id))
}

/** An object that stays behind costs a little space, and nobody finds it without its row. */
async function discard(ctx: Ctx, id: string): Promise<void> {
  try {
    await objectStorageOf(ctx.database)?.remove(objectKey(ctx, id))
  } catch (error) {
    ctx.log.warn({ image: id, reason: (error as { code?: string }).code ?? 'unknown' }, 'a picture was left behind')
  }
}
