import { pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'

const identifierTypes = ['email_address', 'phone_number', 'web3_wallet'] as const

/** Who may sign up where the allow-list is on. `*@domain` admits a whole domain. */
export const allowlistIdentifiers = pgTable(
  'allowlist_identifiers',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    identifier: text('identifier').notNull(),
    identifierType: text('identifier_type', { enum: identifierTypes }).notNull(),
    invitationId: text('invitation_id'),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [uniqueIndex('allowlist_identifiers_identifier').on(t.instanceId, t.identifier)],
)

/** Who may neither sign up nor sign in where the block-list is on. */
export const blocklistIdentifiers = pgTable(
  'blocklist_identifiers',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    identifier: text('identifier').notNull(),
    identifierType: text('identifier_type', { enum: identifierTypes }).notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [uniqueIndex('blocklist_identifiers_identifier').on(t.instanceId, t.identifier)],
)
