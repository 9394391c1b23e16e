import { and, eq, isNotNull } from 'drizzle-orm'
import { type Tx, writeLater } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId } from '../../kernel/ids.ts'
import { emit } from '../events/index.ts'
import { emailAddresses, phoneNumbers, users } from '../users/tables.ts'
import type { Channel, TemplateData, TemplateName, TextTemplateName } from './catalog.ts'
import { hasSender, wakeSender } from './sender.ts'
import { messages } from './tables.ts'
import { findTemplateText, normalizeLocale, render } from './templates.ts'

type Queued<T extends TemplateName> = {
  template: T
  data: TemplateData[T]
  /** BCP 47 tag. Absent: the language of whoever has proven the address. Null, as nobody's: the instance's. */
  locale?: string | null | undefined
  /** When what it carries (a code, a link) is worthless. It never leaves after that. */
  expiresAt?: Date
}
export type QueueEmailInput<T extends TemplateName> = Queued<T> & {
  /** One address, checked by the caller. */
  to: string
}
export type QueueTextInput<T extends TextTemplateName> = Queued<T> & {
  /** E.164, checked by the caller. */
  to: string
}

/**
 * Writes an email in the transaction that causes it; it leaves after the commit. No email without its cause, and no
 * transaction held open for a mail server. Without a mail server a development instance keeps it for the inbox.
 *
 * @throws {UsherError} `unavailable` in a production instance without a mail server
 */
export function queueEmail<T extends TemplateName>(tx: Tx, input: QueueEmailInput<T>): Promise<void> {
  return queueMessage(tx, { channel: 'email', ...input })
}

/**
 * Writes an email or a text message, see {@link queueEmail}.
 *
 * @throws {UsherError} `unavailable` in a production instance that has no provider for the channel
 */
export async function queueMessage<T extends TemplateName, U extends TextTemplateName>(
  tx: Tx,
  input: ({ channel: 'email' } & QueueEmailInput<T>) | ({ channel: 'sms' } & QueueTextInput<U>),
): Promise<void> {
  const { channel, template, to, data, expiresAt } = input
  const deliverable = hasSender(tx.database, channel)
  if (!deliverable && tx.instance.environment === 'production') {
    const remedy =
      channel === 'email'
        ? 'This server has no mail server, so no email can be sent. Set SMTP_URL.'
        : 'This server has no provider of text messages. Set USHER_SMS_ACCOUNT.'
    throw new UsherError('unavailable', remedy)
  }
  const now = tx.now()
  const { settings } = tx.instance
  // Null says that the person has not chosen one; who is not known at all is looked for.
  const chosen = input.locale === undefined ? await findLocale(tx, channel, to) : input.locale
  const locale = chosen ?? settings.messages.locale
  const text = await textFor(tx, { channel, name: template, locale })
  // Dates and words follow the text: no German time stands in an English sentence.
  const spoken = normalizeLocale(locale).startsWith(text.locale) ? normalizeLocale(locale) : text.locale
  const id = newId('message')
  writeLater(tx, messages, {
    id,
    instanceId: tx.instance.id,
    channel,
    template,
    toAddress: to,
    ...render(channel, text, data as TemplateData[TemplateName], { locale: spoken, now, settings }),
    state: deliverable ? 'queued' : 'kept',
    nextAttemptAt: now,
    createdAt: now,
    expiresAt: expiresAt ?? null,
  })
  emit(tx, { type: `${channel}.created`, subject: id, data: {} })
  if (deliverable) tx.afterCommit(() => wakeSender(tx.database, channel))
}

type Wanted = Parameters<typeof findTemplateText>[1]

/** Texts that transactions under way have read, by their connection: several messages of one have the same. */
const texts = new WeakMap<object, Map<string, ReturnType<typeof findTemplateText>>>()

function textFor(tx: Tx, wanted: Wanted): ReturnType<typeof findTemplateText> {
  const known = texts.get(tx.connection) ?? new Map()
  texts.set(tx.connection, known)
  const key = JSON.stringify([wanted.channel, wanted.name, wanted.locale])
  const text = known.get(key) ?? findTemplateText(tx, wanted)
  known.set(key, text)
  return text
}

/** The language of the person who has proven an address or a number. */
async function findLocale(tx: Tx, channel: Channel, to: string): Promise<string | null | undefined> {
  const identifications =
    channel === 'email'
      ? tx.db
          .select({ locale: users.locale })
          .from(emailAddresses)
          .innerJoin(users, eq(users.id, emailAddresses.userId))
          .where(and(eq(emailAddresses.emailAddress, to), isNotNull(emailAddresses.verifiedAt)))
      : tx.db
          .select({ locale: users.locale })
          .from(phoneNumbers)
          .innerJoin(users, eq(users.id, phoneNumbers.userId))
          .where(and(eq(phoneNumbers.phoneNumber, to), isNotNull(phoneNumbers.verifiedAt)))
  const [found] = await identifications.limit(1)
  return found?.locale
}
