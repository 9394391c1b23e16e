import { sql } from 'drizzle-orm'
import { index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { instanceId, instant } from '../../database/columns.ts'

/** Emails and text messages: written in the transaction that causes them, sent after it. The development inbox reads them here. */
export const messages = pgTable(
  'messages',
  {
    id: text('id').primaryKey(),
    instanceId: instanceId(),
    channel: text('channel', { enum: ['email', 'sms'] })
      .notNull()
      .default('email'),
    template: text('template').notNull(),
    toAddress: text('to_address').notNull(),
    subject: text('subject').notNull(),
    html: text('html').notNull(),
    text: text('text').notNull(),
    /** `kept`: there is no SMTP server, the inbox is where it goes. */
    state: text('state', { enum: ['queued', 'sent', 'kept', 'failed'] }).notNull(),
    attempts: integer('attempts').notNull().default(0),
    nextAttemptAt: instant('next_attempt_at').notNull(),
    lastError: text('last_error'),
    createdAt: instant('created_at').notNull(),
    sentAt: instant('sent_at'),
    /** When what it carries (a code, a link) is worthless; it is not sent after that. */
    expiresAt: instant('expires_at'),
  },
  (t) => [
    index('messages_due').on(t.nextAttemptAt).where(sql`state = 'queued'`),
    index('messages_recent').on(t.instanceId, t.createdAt),
  ],
)

/** Texts of an instance's own, in place of those that ship. */
export const messageTemplates = pgTable(
  'message_templates',
  {
    instanceId: instanceId(),
    channel: text('channel', { enum: ['email', 'sms'] }).notNull(),
    name: text('name').notNull(),
    /** BCP 47 tag as `normalizeLocale` spells it. */
    locale: text('locale').notNull(),
    /** Empty for text messages. */
    subject: text('subject').notNull(),
    body: text('body').notNull(),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.instanceId, t.channel, t.name, t.locale] })],
)
