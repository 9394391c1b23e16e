import { sql } from 'drizzle-orm'
import { boolean, check, index, pgTable, text, unique, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'
import { organizations } from '../organizations/tables.ts'
import { users } from '../users/tables.ts'

export const features = pgTable(
  'features',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** `reports`: what applications ask for, and the middle part of the permissions that belong to it. */
    slug: text('slug').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull().default(''),
    avatarUrl: text('avatar_url'),
    /** False: nobody has it, whatever was granted. */
    enabled: boolean('enabled').notNull().default(true),
    /** Who has it without a grant. */
    defaultFor: text('default_for', { enum: ['nobody', 'organizations', 'users', 'everyone'] })
      .notNull()
      .default('nobody'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [unique('features_slug').on(t.instanceId, t.slug)],
)

export const featureGrants = pgTable(
  'feature_grants',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    featureId: text('feature_id')
      .notNull()
      .references(() => features.id, { onDelete: 'cascade' }),
    organizationId: text('organization_id').references(() => organizations.id, { onDelete: 'cascade' }),
    userId: text('user_id').references(() => users.id, { onDelete: 'cascade' }),
    /** False takes away what is there by default or by a plan. */
    enabled: boolean('enabled').notNull(),
    /** `direct` wins over `plan`. */
    source: text('source', { enum: ['direct', 'plan'] })
      .notNull()
      .default('direct'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    check('feature_grants_holder', sql`(organization_id is null) <> (user_id is null)`),
    uniqueIndex('feature_grants_organization')
      .on(t.organizationId, t.featureId, t.source)
      .where(sql`organization_id is not null`),
    uniqueIndex('feature_grants_user').on(t.userId, t.featureId, t.source).where(sql`user_id is not null`),
    index('feature_grants_feature').on(t.featureId),
  ],
)
