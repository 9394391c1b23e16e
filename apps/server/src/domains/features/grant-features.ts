import { and, asc, eq, isNull, type SQL, sql } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { emit } from '../events/index.ts'
import { organizations } from '../organizations/tables.ts'
import { users } from '../users/tables.ts'
import { type Feature, getFeature } from './manage-features.ts'
import { featureGrants, features } from './tables.ts'

/** Who has a feature: one organization or one person. */
export type Holder = { organizationId: string } | { userId: string }
export type FeatureGrant = typeof featureGrants.$inferSelect

/** A feature as one organization or person has it. */
export type HeldFeature = Feature & {
  has: boolean
  /** What decided: a grant, a plan, the feature's default, or that it is switched off for all. */
  source: FeatureGrant['source'] | 'default' | 'switched_off'
}

const isOf = (holder: Holder): SQL =>
  'userId' in holder
    ? eq(featureGrants.userId, holder.userId)
    : (and(eq(featureGrants.organizationId, holder.organizationId), isNull(featureGrants.userId)) as SQL)

/** All features that the instance defines, as somebody has them. @throws {UsherError} `resource_not_found` */
export async function listFeaturesOf(ctx: Ctx | Tx, holder: Holder): Promise<HeldFeature[]> {
  return transaction(ctx, async (tx) => {
    await requireHolder(tx, holder)
    const rows = await tx.db
      .select({ feature: features, grant: featureGrants })
      .from(features)
      .leftJoin(featureGrants, and(eq(featureGrants.featureId, features.id), isOf(holder)))
      .orderBy(asc(features.slug), asc(featureGrants.source))
    // Of two grants the direct one comes first, and counts.
    const first = new Map(rows.toReversed().map((row) => [row.feature.id, row]))
    return [...first.values()].reverse().map(({ feature, grant }) => {
      const byDefault = ['everyone', 'userId' in holder ? 'users' : 'organizations'].includes(feature.defaultFor)
      if (!feature.enabled) return { ...feature, has: false, source: 'switched_off' }
      return { ...feature, has: grant?.enabled ?? byDefault, source: grant?.source ?? 'default' }
    })
  })
}

/**
 * Gives a feature to an organization or a person, or takes it from them whatever the default says. Again: nothing happens.
 *
 * @param input.feature id or slug
 * @throws {UsherError} `forbidden` or `resource_not_found`
 */
export async function grantFeature(
  ctx: Ctx | Tx,
  input: { holder: Holder; feature: string; enabled: boolean },
): Promise<HeldFeature> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    await requireHolder(tx, input.holder)
    const feature = await getFeature(tx, input.feature)
    const now = tx.now()
    const { organizationId = null, userId = null }: { organizationId?: string | null; userId?: string | null } =
      input.holder
    const columns = userId === null ? 'organization_id' : 'user_id'
    await tx.db.execute(sql`
      insert into feature_grants (id, instance_id, feature_id, organization_id, user_id, enabled, source, created_at, updated_at)
      values (${newId('featureGrant')}, ${tx.instance.id}, ${feature.id}, ${organizationId}, ${userId}, ${input.enabled},
        'direct', ${now}, ${now})
      on conflict (${sql.raw(columns)}, feature_id, source) where ${sql.raw(columns)} is not null
        do update set enabled = excluded.enabled, updated_at = excluded.updated_at
        where feature_grants.enabled <> excluded.enabled`)
    announce(tx, 'featureGrant.updated', feature, input.holder)
    return getHeld(tx, input.holder, feature)
  })
}

/** Takes a grant back, so that the default counts again. @throws {UsherError} `forbidden` or `resource_not_found` */
export async function withdrawFeature(ctx: Ctx | Tx, input: { holder: Holder; feature: string }): Promise<HeldFeature> {
  requireApplication(ctx)
  return transaction(ctx, async (tx) => {
    await requireHolder(tx, input.holder)
    const feature = await getFeature(tx, input.feature)
    const gone = await tx.db
      .delete(featureGrants)
      .where(and(eq(featureGrants.featureId, feature.id), isOf(input.holder), eq(featureGrants.source, 'direct')))
      .returning({ id: featureGrants.id })
    if (gone.length === 0) throw new UsherError('resource_not_found', 'There is no such grant.')
    announce(tx, 'featureGrant.deleted', feature, input.holder)
    return getHeld(tx, input.holder, feature)
  })
}

async function getHeld(tx: Tx, holder: Holder, { id }: Feature): Promise<HeldFeature> {
  const found = (await listFeaturesOf(tx, holder)).find((feature) => feature.id === id)
  if (!found) throw new UsherError('resource_not_found', 'There is no such feature.')
  return found
}

async function requireHolder(tx: Tx, holder: Holder): Promise<void> {
  const [table, id] =
    'userId' in holder ? ([users, holder.userId] as const) : ([organizations, holder.organizationId] as const)
  const found = await tx.db.select({ id: table.id }).from(table).where(eq(table.id, id))
  if (found.length === 0) throw new UsherError('resource_not_found', 'There is nobody to have a feature.')
}

function announce(tx: Tx, type: string, { slug, id }: Feature, holder: Holder) {
  const whose = 'userId' in holder ? { user_id: holder.userId } : { organization_id: holder.organizationId }
  emit(tx, { type, subject: id, data: { feature: slug, ...whose } })
}
