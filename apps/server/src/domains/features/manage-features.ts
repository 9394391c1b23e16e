import { asc, count, eq, ilike, or } from 'drizzle-orm'
import { escapeLike, type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { emit } from '../events/index.ts'
import { features } from './tables.ts'

export type Feature = typeof features.$inferSelect
export type FeatureInput = {
  slug: string
  name: string
  description?: string | undefined
  avatarUrl?: string | null | undefined
  enabled?: boolean | undefined
  defaultFor?: Feature['defaultFor'] | undefined
}

/** Features that one instance may define: each is read with every membership. */
const maxFeatures = 500

/** Features of the instance by slug; `query` is part of a name or slug. */
export async function listFeatures(
  ctx: Ctx | Tx,
  input: Pagination & { query?: string | undefined },
): Promise<Page<Feature>> {
  const pattern = input.query && `%${escapeLike(input.query)}%`
  const where = pattern ? or(ilike(features.name, pattern), ilike(features.slug, pattern)) : undefined
  return transaction(ctx, async (tx) => {
    const data = await tx.db
      .select()
      .from(features)
      .where(where)
      .orderBy(asc(features.slug))
      .limit(input.limit)
      .offset(input.offset)
    return { data, totalCount: await tx.db.$count(features, where) }
  })
}

/** By id or slug. @throws {UsherError} `resource_not_found` */
export async function getFeature(ctx: Ctx | Tx, idOrSlug: string): Promise<Feature> {
  const [found] = await transaction(ctx, (tx) =>
    tx.db
      .select()
      .from(features)
      .where(or(eq(features.id, idOrSlug), eq(features.slug, idOrSlug))),
  )
  if (!found) throw new UsherError('resource_not_found', 'There is no such feature.')
  return found
}

/** @throws {UsherError} `forbidden`, `form_param_format_invalid`, `form_param_value_invalid` or `duplicate_record` */
export async function createFeature(ctx: Ctx | Tx, input: FeatureInput): Promise<Feature> {
  requireApplication(ctx)
  const slug = parseSlug(input.slug)
  return transaction(ctx, async (tx) => {
    await takeTurn(tx, 'features')
    const [known] = await tx.db.select({ n: count() }).from(features)
    if ((known?.n ?? 0) >= maxFeatures)
      throw new UsherError('form_param_value_invalid', `There can be ${maxFeatures} features at most.`)
    const now = tx.now()
    try {
      const [made] = await tx.db
        .insert(features)
        .values({
          id: newId('feature'),
          instanceId: tx.instance.id,
          slug,
          name: input.name,
          description: input.description ?? '',
          avatarUrl: input.avatarUrl ?? null,
          enabled: input.enabled ?? true,
          defaultFor: input.defaultFor ?? 'nobody',
          createdAt: now,
          updatedAt: now,
        })
        .returning()
      emit(tx, { type: 'feature.created', subject: made?.id ?? '', data: { slug } })
      return made as Feature
    } catch (error) {
      throw slugTaken(error)
    }
  })
}

/** @throws {UsherError} `resource_not_found` and those of {@link createFeature} */
export async function updateFeature(
  ctx: Ctx | Tx,
  { id, ...change }: { id: string } & Partial<FeatureInput>,
): Promise<Feature> {
  requireApplication(ctx)
  if (change.slug !== undefined) parseSlug(change.slug)
  return transaction(ctx, async (tx) => {
    const known = await getFeature(tx, id)
    try {
      const [changed] = await tx.db
        .update(features)
        .set({ ...change, updatedAt: tx.now() })
        .where(eq(features.id, known.id))
        .returning()
      if (!changed) throw new UsherError('resource_not_found', 'There is no such feature.')
      emit(tx, { type: 'feature.updated', subject: changed.id, data: { slug: changed.slug } })
      return changed
    } catch (error) {
      throw slugTaken(error)
    }
  })
}

/** Deletes a feature and who has it. Permissions in it stay, and count again. @throws {UsherError} `resource_not_found` */
export async function deleteFeature(ctx: Ctx | Tx, idOrSlug: string): Promise<Feature> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    const known = await getFeature(tx, idOrSlug)
    const gone = await tx.db.delete(features).where(eq(features.id, known.id)).returning({ id: features.id })
    if (gone.length === 0) throw new UsherError('resource_not_found', 'There is no such feature.')
    emit(tx, { type: 'feature.deleted', subject: known.id, data: { slug: known.slug } })
    return known
  })
}

/** The middle part of permissions: the same characters, and never one that the system's own have. */
function parseSlug(slug: string): string {
  if (!/^[a-z0-9_]{1,50}$/.test(slug) || slug.startsWith('sys_'))
    throw new UsherError('form_param_format_invalid', 'A slug has lower-case letters, digits and underscores.', {
      param: 'slug',
    })
  return slug
}

function slugTaken(error: unknown): unknown {
  if (!isUniqueViolation(error, 'features_slug')) return error
  return new UsherError('duplicate_record', 'There is a feature of this slug already.', { param: 'slug' })
}
