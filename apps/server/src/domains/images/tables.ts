import { integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { bytes, instanceId, instant } from '../../database/columns.ts'
import { organizations } from '../organizations/tables.ts'
import { users } from '../users/tables.ts'

/** Pictures of people and organizations, as they are served. One whose owner is gone is served no more, and then deleted. */
export const images = pgTable(
  'images',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    userId: text('user_id').references(() => users.id, { onDelete: 'set null' }),
    organizationId: text('organization_id').references(() => organizations.id, { onDelete: 'set null' }),
    contentType: text('content_type').notNull(),
    /** SHA-256 of the bytes, in hexadecimal. */
    digest: text('digest').notNull(),
    size: integer('size').notNull(),
    /** Null: they are in the object storage, under {@link objectKey}. */
    bytes: bytes('bytes'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    // One picture each, however many are uploaded at once.
    uniqueIndex('images_user').on(t.userId),
    uniqueIndex('images_organization').on(t.organizationId),
  ],
)
