import { eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { parsePermissionKey } from './permission-keys.ts'
import { getPermission, type Permission } from './queries.ts'
import { permissions } from './tables.ts'

const taken = () => new UsherError('duplicate_record', 'A permission with this key exists already.', { param: 'key' })

/** @throws {UsherError} `form_param_format_invalid` or `duplicate_record` */
export async function createPermission(
  ctx: Ctx | Tx,
  input: { key: string; name: string; description?: string },
): Promise<Permission> {
  const key = parsePermissionKey(input.key)
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    try {
      const [made] = await tx.db
        .insert(permissions)
        .values({
          id: newId('permission'),
          instanceId: tx.instance.id,
          key,
          name: input.name,
          description: input.description ?? '',
          type: 'user',
          createdAt: now,
          updatedAt: now,
        })
        .returning()
      emit(tx, { type: 'permission.created', subject: made?.id ?? '', data: { key } })
      return made as Permission
    } catch (error) {
      throw isUniqueViolation(error, 'permissions_key') ? taken() : error
    }
  })
}

/** @throws {UsherError} `resource_not_found`, `system_record_immutable`, `form_param_format_invalid` or `duplicate_record` */
export async function updatePermission(
  ctx: Ctx | Tx,
  { id, ...change }: { id: string; key?: string; name?: string; description?: string },
): Promise<Permission> {
  if (change.key !== undefined) parsePermissionKey(change.key)
  return transaction(ctx, async (tx) => {
    await refuseSystem(tx, id)
    try {
      const [changed] = await tx.db
        .update(permissions)
        .set({ ...change, updatedAt: tx.now() })
        .where(eq(permissions.id, id))
        .returning()
      emit(tx, { type: 'permission.updated', subject: id, data: { key: changed?.key } })
      return changed as Permission
    } catch (error) {
      throw isUniqueViolation(error, 'permissions_key') ? taken() : error
    }
  })
}

/** Deletes a permission; every role loses it. @throws {UsherError} `resource_not_found` or `system_record_immutable` */
export async function deletePermission(ctx: Ctx | Tx, id: string): Promise<Permission> {
  return transaction(ctx, async (tx) => {
    const known = await refuseSystem(tx, id)
    await tx.db.delete(permissions).where(eq(permissions.id, id))
    emit(tx, { type: 'permission.deleted', subject: id, data: { key: known.key } })
    return known
  })
}

async function refuseSystem(tx: Tx, id: string): Promise<Permission> {
  const known = await getPermission(tx, id)
  if (known.type === 'system') throw new UsherError('system_record_immutable', 'System permissions cannot be changed.')
  return known
}
