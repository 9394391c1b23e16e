import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Channel, catalog, commonVariables, sampleData, type TemplateName, templateNames } from './catalog.ts'
import { hasBrokenPlaceholder, variablesOf } from './fill.ts'
import { messageTemplates } from './tables.ts'
import { defaultText, findTemplateText, normalizeLocale, type Rendered, render } from './templates.ts'
import { defaultLanguage, languages } from './texts/index.ts'

/** A template in one language. */
export type Template = {
  channel: Channel
  name: TemplateName
  label: string
  /** The language that was asked for. */
  locale: string
  /** The language whose text is used for it. */
  textLocale: string
  /** Whether that language's text is the instance's own, for exactly the language asked for. */
  edited: boolean
  /** Languages that there is a text for, shipped or the instance's own. */
  locales: string[]
  subject: string
  body: string
  /** What the text may name, and what it must. */
  variables: string[]
  requiredVariables: string[]
  createdAt: Date | null
  updatedAt: Date | null
}
type Row = typeof messageTemplates.$inferSelect

const maxSubjectLength = 200
const maxBodyLength = { email: 20_000, sms: 480 }

/** Every template of a channel. @param locale absent: the instance's */
export async function listTemplates(ctx: Ctx, channel: Channel, locale?: string): Promise<Template[]> {
  return transaction(ctx, async (tx) => {
    const rows = await tx.db.select().from(messageTemplates).where(eq(messageTemplates.channel, channel))
    const asked = askedLocale(tx, locale)
    const found: Template[] = []
    for (const name of templateNames(channel)) found.push(await describe(tx, rows, channel, name, asked))
    return found
  })
}

/** @throws {UsherError} `resource_not_found` */
export async function getTemplate(
  ctx: Ctx | Tx,
  input: { channel: Channel; name: string; locale?: string | undefined },
): Promise<Template> {
  const name = nameIn(input.channel, input.name)
  return transaction(ctx, async (tx) => {
    const rows = await tx.db
      .select()
      .from(messageTemplates)
      .where(and(eq(messageTemplates.channel, input.channel), eq(messageTemplates.name, name)))
    return describe(tx, rows, input.channel, name, askedLocale(tx, input.locale))
  })
}

async function describe(tx: Tx, rows: Row[], channel: Channel, name: TemplateName, locale: string): Promise<Template> {
  const own = rows.filter((row) => row.name === name)
  const text = await findTemplateText(tx, { channel, name, locale })
  const row = own.find((r) => r.locale === text.locale)
  return {
    channel,
    name,
    label: catalog[name].label,
    locale,
    textLocale: text.locale,
    edited: text.edited && text.locale === locale,
    locales: [...new Set([...Object.keys(languages), ...own.map((r) => r.locale)])],
    subject: text.subject,
    body: text.body,
    variables: [...commonVariables, ...catalog[name].variables],
    requiredVariables: [...(catalog[name].required ?? [])],
    createdAt: row?.createdAt ?? null,
    updatedAt: row?.updatedAt ?? null,
  }
}

export type TemplateInput = {
  channel: Channel
  name: string
  locale?: string | undefined
  /** Of an email; texts have none. */
  subject?: string | undefined
  body: string
}

/**
 * Sets the instance's own text for a template in one language.
 *
 * @throws {UsherError} `resource_not_found`; `form_param_value_invalid` for a variable that the template does not have,
 *   lacks or misspells; `form_param_max_length_exceeded`, `form_param_nil`
 */
export async function setTemplate(ctx: Ctx, input: TemplateInput): Promise<Template> {
  const { channel } = input
  const name = nameIn(channel, input.name)
  const { subject, body } = checkText(channel, name, input)
  return transaction(ctx, async (tx) => {
    const [locale, now] = [askedLocale(tx, input.locale), tx.now()]
    await tx.db
      .insert(messageTemplates)
      .values({ instanceId: tx.instance.id, channel, name, locale, subject, body, createdAt: now, updatedAt: now })
      .onConflictDoUpdate({
        target: [messageTemplates.instanceId, messageTemplates.channel, messageTemplates.name, messageTemplates.locale],
        set: { subject, body, updatedAt: now },
      })
    return getTemplate(tx, { channel, name, locale })
  })
}

/** Goes back to the text that ships. @throws {UsherError} `resource_not_found` */
export async function revertTemplate(
  ctx: Ctx,
  input: { channel: Channel; name: string; locale?: string | undefined },
): Promise<Template> {
  const name = nameIn(input.channel, input.name)
  return transaction(ctx, async (tx) => {
    const locale = askedLocale(tx, input.locale)
    await tx.db
      .delete(messageTemplates)
      .where(
        and(
          eq(messageTemplates.channel, input.channel),
          eq(messageTemplates.name, name),
          eq(messageTemplates.locale, locale),
        ),
      )
    return getTemplate(tx, { channel: input.channel, name, locale })
  })
}

/**
 * Fills a text in with made-up data. Without a body: the text as it stands.
 *
 * @throws {UsherError} as {@link setTemplate}
 */
export async function previewTemplate(
  ctx: Ctx,
  input: Omit<TemplateInput, 'body'> & { body?: string | undefined },
): Promise<Rendered & { locale: string }> {
  const { channel } = input
  const name = nameIn(channel, input.name)
  return transaction(ctx, async (tx) => {
    const locale = askedLocale(tx, input.locale)
    const stands = await findTemplateText(tx, { channel, name, locale })
    const { body = stands.body, subject = stands.subject } = input
    const text =
      input.body === undefined && input.subject === undefined
        ? stands
        : { ...checkText(channel, name, { subject, body }), locale }
    const { settings } = tx.instance
    return { ...render(channel, text, sampleData[name], { locale, now: tx.now(), settings }), locale }
  })
}

function nameIn(channel: Channel, name: string): TemplateName {
  const found = templateNames(channel).find((n) => n === name)
  if (!found) throw new UsherError('resource_not_found', 'There is no such template.')
  return found
}

/** The instance's language without its region: texts for it serve every region that has none of its own. */
function askedLocale(tx: Tx, locale: string | undefined): string {
  if (!locale) return normalizeLocale(tx.instance.settings.messages.locale).split('-')[0] ?? defaultLanguage
  if (!/^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$/.test(locale))
    throw new UsherError('form_param_value_invalid', 'The locale is no language tag.', { param: 'locale' })
  return normalizeLocale(locale)
}

function checkText(channel: Channel, name: TemplateName, input: { subject?: string | undefined; body: string }) {
  const subject = channel === 'sms' ? '' : (input.subject ?? defaultText(channel, name, defaultLanguage)?.subject ?? '')
  const body = input.body.replaceAll('\r\n', '\n')
  if (body.trim() === '') throw new UsherError('form_param_nil', 'The body is empty.', { param: 'body' })
  if (channel === 'email' && subject.trim() === '')
    throw new UsherError('form_param_nil', 'The subject is empty.', { param: 'subject' })
  if (subject.length > maxSubjectLength || body.length > maxBodyLength[channel])
    throw new UsherError('form_param_max_length_exceeded', 'The text is too long.', {
      param: subject.length > maxSubjectLength ? 'subject' : 'body',
    })
  const known: readonly string[] = [...commonVariables, ...catalog[name].variables]
  for (const [param, text] of Object.entries({ subject, body })) {
    const unknown = variablesOf(text).find((variable) => !known.includes(variable))
    if (unknown || hasBrokenPlaceholder(text))
      throw new UsherError(
        'form_param_value_invalid',
        unknown
          ? `There is no variable ${unknown} here. There are: ${known.join(', ')}.`
          : 'A {{variable}} is not closed.',
        { param },
      )
  }
  const missing = catalog[name].required?.find((variable) => !variablesOf(body).includes(variable))
  if (missing) throw new UsherError('form_param_value_invalid', `The body lacks {{${missing}}}.`, { param: 'body' })
  return { subject: subject.trim(), body }
}
