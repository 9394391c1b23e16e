import { UsherError } from './errors.ts'

/** What ends a line, or is no character at all. */
const control = /[\p{Cc}\p{Cs}]/u

/**
 * Invisible characters and those that turn the direction of writing: a name with them reads as another one. The
 * joiners that Indic and Persian words need are left to scripts that need them.
 */
const invisible = new RegExp(
  [
    '[\\p{Co}\\p{Cn}\\u00ad\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200e\\u200f]',
    '[\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0e\\ufeff\\uffa0\\u{e0000}-\\u{e0fff}]',
    // The joiner that shows nothing combines with what stands before it, so it is no part of a class.
    '\\u034f',
  ].join('|'),
  'u',
)

export const isOneLine = (name: string): boolean => !control.test(name)
export const isVisible = (name: string): boolean => !invisible.test(name)

/**
 * A name by which people tell things apart in a list.
 *
 * @throws {UsherError} `form_param_format_invalid` for one that reads as another one
 */
export function checkName(name: string): string {
  if (!isOneLine(name) || !isVisible(name))
    throw new UsherError('form_param_format_invalid', 'A name is one line of text, without invisible characters.', {
      param: 'name',
    })
  return name
}
