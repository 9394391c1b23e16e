import { pgTable, text } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'
import { users } from '../users/tables.ts'

export const passwords = pgTable('passwords', {
  userId: text('user_id')
    .primaryKey()
    .references(() => users.id, { onDelete: 'cascade' }),
  instanceId: instanceId(),
  /** Argon2id in PHC string format. */
  hash: text('hash').notNull(),
  updatedAt: instant('updated_at').notNull(),
})
