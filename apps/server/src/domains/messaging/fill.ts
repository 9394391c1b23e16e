/** What a variable holds, which decides how it is shown. */
export type Value = { kind: 'code' | 'url' | 'text' | 'name'; value: string }
export type Values = Record<string, Value>

const placeholder = /\{\{\s*([a-z_]+)\s*\}\}/g
const maxTextLength = 256

/** The names that a text uses, each once. */
export function variablesOf(text: string): string[] {
  return [...new Set([...text.matchAll(placeholder)].map(([, name]) => name as string))]
}

/** Whether braces are left that are no variable. */
export function hasBrokenPlaceholder(text: string): boolean {
  return /\{\{|\}\}/.test(text.replace(placeholder, ''))
}

/**
 * Fills in plain text.
 *
 * @param rtl whether the text itself runs from right to left
 */
export function fillText(text: string, values: Values, rtl: boolean, maxLength = maxTextLength): string {
  return text.replace(placeholder, (_, name: string) => {
    const value = values[name]
    if (!value) return ''
    return value.kind === 'url' ? linkOf(value) : isolate(clean(value, maxLength), rtl)
  })
}

/** Fills in HTML: the text around the variables is escaped as the variables are. */
export function fillHtml(text: string, values: Values): string {
  const filled = escapeHtml(text).replace(placeholder, (_, name: string) => {
    const value = values[name]
    if (!value) return ''
    if (value.kind !== 'url') return `<bdi>${escapeHtml(clean(value, maxTextLength))}</bdi>`
    const url = escapeHtml(linkOf(value))
    return url && `<a href="${url}" style="color:#4338ca;overflow-wrap:anywhere">${url}</a>`
  })
  // The text's own: what is filled in has none.
  return filled.replaceAll('\n', '<br>')
}

/** A link that is one: anything but http and https counts as none. */
export function linkOf({ value }: { value: string }): string {
  return /^https?:\/\//i.test(value) && URL.canParse(value) ? value.replace(/[\s"<>]/g, encodeURIComponent) : ''
}

export function escapeHtml(text: string): string {
  return Bun.escapeHTML(text)
}

/** Controls, line separators, and every character that changes the direction of what follows it. */
const unprintable = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu

function clean({ kind, value }: Value, maxLength: number): string {
  const printable = value.replace(unprintable, ' ').trim()
  // No text has more characters than units.
  const text = printable.length > maxLength ? shortened([...printable], maxLength) : printable
  // Mail programs make links of what looks like an address; a name must not become one.
  return kind === 'name'
    ? text.replace(/(?<=[\p{L}\p{N}])\.(?=\p{L}{2})/gu, '.\u200c').replaceAll('://', ':\u200c//')
    : text
}

const shortened = (characters: string[], maxLength: number) =>
  characters.length > maxLength ? `${characters.slice(0, maxLength - 1).join('')}…` : characters.join('')

const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u

/** Keeps the direction of a name to itself: it cannot turn around what stands beside it. */
function isolate(text: string, rtl: boolean): string {
  return rtl || rightToLeft.test(text) ? `\u2068${text}\u2069` : text
}
