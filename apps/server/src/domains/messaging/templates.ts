import { and, eq, sql } from 'drizzle-orm'
import { prepared, type Tx, textArray } from '../../database/index.ts'
import { nameDevice } from '../../kernel/describe-device.ts'
import type { InstanceSettings } from '../instances/index.ts'
import type { Channel, Happening, SecondFactorMethod, TemplateData, TemplateName } from './catalog.ts'
import { escapeHtml, fillHtml, fillText, linkOf, type Value, type Values } from './fill.ts'
import { messageTemplates } from './tables.ts'
import { defaultLanguage, type EmailText, type Language, languages } from './texts/index.ts'

export type Rendered = { subject: string; html: string; text: string }

/** The text of a template in one language, before it is filled in. A text message has no subject. */
export type TemplateText = EmailText & {
  /** The language that it is in, which may be another than the one asked for. */
  locale: string
  /** Whether it is the instance's own text. */
  edited: boolean
}

type Recipient = {
  /** BCP 47 tag, of the person or of the instance. */
  locale: string
  now: Date
  settings: Pick<InstanceSettings, 'applicationName' | 'homeUrl' | 'supportEmail' | 'logoUrl'>
}

/**
 * The text that a message in a language is made of: in exactly that language, else in the language without its region,
 * else in the instance's, else in English. At each step the instance's own text comes before what ships.
 */
export async function findTemplateText(
  tx: Tx,
  { channel, name, locale }: { channel: Channel; name: TemplateName; locale: string | null | undefined },
): Promise<TemplateText> {
  const wanted = localesOf(locale, tx.instance.settings.messages.locale)
  const edited = await selectEdited(tx, { channel, name, locales: textArray(wanted) })
  for (const locale of wanted) {
    const own = edited.find((row) => row.locale === locale)
    if (own) return { subject: own.subject, body: own.body, locale, edited: true }
    const shipped = defaultText(channel, name, locale)
    if (shipped) return { ...shipped, locale, edited: false }
  }
  throw new Error('a template without a default')
}

const selectEdited = prepared((db) =>
  db
    .select()
    .from(messageTemplates)
    .where(
      and(
        eq(messageTemplates.channel, sql.placeholder('channel')),
        eq(messageTemplates.name, sql.placeholder('name')),
        sql`${messageTemplates.locale} = any(${sql.placeholder('locales')}::text[])`,
      ),
    ),
)

/** What ships for a template in exactly this language. */
export function defaultText(channel: Channel, name: TemplateName, locale: string): EmailText | undefined {
  const language = languages[locale]
  if (!language) return undefined
  if (channel === 'email') return language.emails[name]
  const body = (language.texts as Record<string, string>)[name]
  return body === undefined ? undefined : { subject: '', body }
}

/** The languages to try, in order: the person's, the instance's, English. */
function localesOf(...tags: (string | null | undefined)[]): string[] {
  const steps = [...tags, defaultLanguage].flatMap((tag) => (tag ? [normalizeLocale(tag), languageOf(tag)] : []))
  return [...new Set(steps)]
}

/** `de_at` → `de-AT`: one spelling for each language. */
export const normalizeLocale = remembered((tag) => {
  try {
    return new Intl.Locale(tag.replaceAll('_', '-')).toString()
  } catch {
    return defaultLanguage
  }
})

const languageOf = (tag: string) => normalizeLocale(tag).split('-')[0] as string

/** Fills in a template. Everything that comes from people is escaped, and a subject has no line breaks. */
export function render<T extends TemplateName>(
  channel: Channel,
  text: Omit<TemplateText, 'edited'>,
  data: TemplateData[T],
  recipient: Recipient,
): Rendered {
  const values = valuesOf(data, recipient)
  const rtl = isRightToLeft(text.locale)
  if (channel === 'sms') {
    const message = fillText(text.body, values, rtl, 60).replace(/\s*\n\s*/g, '\n')
    return { subject: message, html: '', text: message }
  }
  const subject = fillText(text.subject, values, rtl, 60).replace(/\s+/g, ' ')
  const blocks = parseBody(text.body)
  const help = recipient.settings.supportEmail && `${wordsIn(text.locale).questions} ${recipient.settings.supportEmail}`
  return {
    subject: [...subject].slice(0, 200).join(''),
    text: [...blocks.map((block) => textOf(block, values, rtl)), help].filter(Boolean).join('\n\n'),
    html: pageOf(
      blocks.map((block) => htmlOf(block, values)),
      { subject, help, locale: text.locale, rtl, settings: recipient.settings },
    ),
  }
}

type Block =
  | { type: 'paragraph' | 'note'; text: string }
  | { type: 'code' }
  | { type: 'button'; label: string; target: string }

const parseBody = remembered((body): readonly Block[] => {
  const blocks = body.replaceAll('\r', '').split(/\n[ \t]*\n\s*/)
  return blocks.flatMap((block): Block | [] => {
    const text = block.trim()
    const [, label, target] = text.match(/^\[([^\]\n]+)\]\((\S+)\)$/) ?? []
    if (text === '') return []
    if (label && target) return { type: 'button', label, target }
    if (/^\{\{\s*code\s*\}\}$/.test(text)) return { type: 'code' }
    return text.startsWith('> ') ? { type: 'note', text: text.slice(2) } : { type: 'paragraph', text }
  })
})

const targetOf = (target: string, values: Values) => linkOf({ value: fillText(target, values, false) })

function textOf(block: Block, values: Values, rtl: boolean): string {
  if (block.type === 'code') return values.code?.value ?? ''
  if (block.type !== 'button') return fillText(block.text, values, rtl)
  const url = targetOf(block.target, values)
  return url && `${fillText(block.label, values, rtl)}: ${url}`
}

function htmlOf(block: Block, values: Values): string {
  switch (block.type) {
    case 'code':
      return `<p dir="ltr" style="margin:24px 0;font:600 32px/40px ui-monospace,Menlo,monospace;letter-spacing:8px;color:#18181b">${escapeHtml(values.code?.value ?? '')}</p>`
    case 'button': {
      const url = targetOf(block.target, values)
      return (
        url &&
        `<p style="margin:24px 0"><a href="${escapeHtml(url)}" style="display:inline-block;padding:10px 20px;border-radius:8px;background:#4338ca;color:#fff;font-size:15px;font-weight:600;text-decoration:none">${fillHtml(block.label, values)}</a></p>`
      )
    }
    case 'note':
      return `<p style="margin:24px 0 0;font-size:13px;line-height:20px;color:#71717a">${fillHtml(block.text, values)}</p>`
    case 'paragraph':
      return `<p style="margin:0 0 16px;font-size:15px;line-height:24px;color:#27272a">${fillHtml(block.text, values)}</p>`
  }
}

type PageParts = {
  subject: string
  help: string | undefined
  locale: string
  rtl: boolean
  settings: Recipient['settings']
}

function pageOf(parts: string[], { subject, help, locale, rtl, settings }: PageParts): string {
  const name = escapeHtml(settings.applicationName)
  const logo = settings.logoUrl && linkOf({ value: settings.logoUrl })
  return `<!doctype html>
<html lang="${escapeHtml(locale)}" dir="${rtl ? 'rtl' : 'ltr'}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(subject)}</title></head>
<body style="margin:0;padding:32px 16px;background:#f4f4f5;font-family:system-ui,-apple-system,'Segoe UI',sans-serif">
<div style="max-width:480px;margin:0 auto;padding:32px;border-radius:12px;background:#fff">
${logo ? `<p style="margin:0 0 24px"><img src="${escapeHtml(logo)}" alt="${name}" height="32" style="height:32px;max-width:100%"></p>` : `<p style="margin:0 0 24px;font-size:17px;font-weight:700;color:#18181b">${name}</p>`}
${parts.filter(Boolean).join('\n')}
</div>${help ? `\n<p style="max-width:480px;margin:16px auto 0;text-align:center;font-size:13px;color:#71717a">${escapeHtml(help)}</p>` : ''}</body></html>`
}

const isRightToLeft = (locale: string) => /^(ar|fa|he|ur|ps|sd|ug|yi|dv|ckb)\b/.test(locale)

const wordsIn = (locale: string): Language['words'] =>
  (languages[languageOf(locale)] ?? (languages[defaultLanguage] as Language)).words

const kinds: Record<string, Value['kind']> = {
  code: 'code',
  url: 'url',
  home_url: 'url',
  organization_name: 'name',
  inviter_name: 'name',
  passkey_name: 'name',
  account: 'name',
}

/** Everything that a template may name, as text in the recipient's language. */
function valuesOf(data: object, { locale, now, settings }: Recipient): Values {
  const words = wordsIn(locale)
  const { userAgent, ipAddress, at, method, minutes, inviterName, ...plain } = data as Happening & {
    method?: SecondFactorMethod
    minutes?: number | null
    inviterName?: string | null
  }
  const texts: Record<string, string> = {
    application_name: settings.applicationName,
    home_url: settings.homeUrl ?? '',
    support_email: settings.supportEmail ?? '',
    time: formatTime(at ? new Date(at) : now, locale),
    device: nameDevice(userAgent) ?? words.unknownDevice,
    // There is no map from addresses to places here, and a wrong place would be worse than none.
    place: words.unknownPlace,
    ip_address: ipAddress || words.unknown,
    method: method ? words.methods[method] : '',
    unlocks: minutes ? new Intl.RelativeTimeFormat(locale).format(minutes, 'minute') : words.unlockedForYou,
    inviter_name: inviterName || words.somebody,
  }
  for (const [name, value] of Object.entries(plain))
    texts[name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] = String(value ?? '')
  return Object.fromEntries(
    Object.entries(texts).map(([name, value]) => [name, { kind: kinds[name] ?? 'text', value }]),
  )
}

function formatTime(at: Date, locale: string): string {
  return `${timeFormatOf(locale).format(at)} UTC`
}

/** Making a format costs more than all the rest of a message. */
const timeFormatOf = remembered(
  (locale) => new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' }),
)

/** What a function makes of a text, made once. People choose their tags and texts, so there is no end of them. */
function remembered<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    if (known.size >= 200) known.clear()
    const made = make(text)
    known.set(text, made)
    return made
  }
}
