import { sql } from 'drizzle-orm'
import { boolean, check, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant, json } from '../../database/columns.ts'
import { organizations } from '../organizations/tables.ts'
import { users } from '../users/tables.ts'

/** What programs of a person or an organization show to the application in place of a session. */
export const apiKeys = pgTable(
  'api_keys',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    /** Whose key it is: a person's, or an organization's. It goes with them. */
    userId: text('user_id').references(() => users.id, { onDelete: 'cascade' }),
    organizationId: text('organization_id').references(() => organizations.id, { onDelete: 'cascade' }),
    subject: text('subject').notNull().generatedAlwaysAs(sql`coalesce(user_id, organization_id)`),
    name: text('name').notNull(),
    description: text('description'),
    /** SHA-256 of the key: how a request finds it. */
    secretHash: text('secret_hash').notNull().unique(),
    /** Null, unless the instance wants to read keys again. */
    sealedSecret: text('sealed_secret'),
    scopes: json<string[]>('scopes').notNull(),
    claims: json<Record<string, unknown> | null>('claims'),
    createdBy: text('created_by'),
    /**
     * Of whoever made a key of their organization: it is good only while this membership is. No reference, because what
     * a reference does when the membership goes is either to delete the key or to let go of its bond.
     */
    creatorMembershipId: text('creator_membership_id'),
    /** Made by that member, who has to keep the permission, and not by the application for them. */
    madeByMember: boolean('made_by_member').notNull().default(false),
    /** Null: it does not run out. */
    expiresAt: instant('expires_at'),
    revokedAt: instant('revoked_at'),
    revocationReason: text('revocation_reason'),
    /** To the minute. */
    lastUsedAt: instant('last_used_at'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    check('api_keys_subject', sql`num_nonnulls(user_id, organization_id) = 1`),
    uniqueIndex('api_keys_name').on(t.subject, t.name).where(sql`revoked_at is null`),
    index('api_keys_created').on(t.subject, t.createdAt.desc(), t.id),
    index('api_keys_user').on(t.userId).where(sql`user_id is not null`),
    index('api_keys_organization').on(t.organizationId).where(sql`organization_id is not null`),
    index('api_keys_revoked').on(t.instanceId, t.revokedAt).where(sql`revoked_at is not null`),
    index('api_keys_expiry').on(t.instanceId, t.expiresAt).where(sql`expires_at is not null`),
  ],
)
