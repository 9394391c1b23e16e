import { UsherError } from '../../kernel/errors.ts'
import type { Instance } from '../instances/index.ts'

/** What would make a username pass for an address, a number or a path, whatever an instance allows. */
const never = /[@+/\\\s\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u

/** Far more than the longest username has, its marks not yet composed with their letters. */
const maxTyped = 1000

/**
 * Checks a username against an instance's rules.
 *
 * @returns the username in Unicode's composed form
 * @throws {UsherError} `form_username_invalid_character`, `form_username_invalid_length` or
 *   `form_username_needs_non_number_char`
 */
export function checkUsername(instance: Instance, username: string): string {
  const { minLength, maxLength, allowExtendedCharacters, allowNumeric } = instance.settings.username
  const param = 'username'
  // Before anything else is done with it: to compose very many marks takes a time that grows with their square.
  if (username.length > maxTyped)
    throw new UsherError('form_username_invalid_length', `A username has ${minLength} to ${maxLength} characters.`, {
      param,
    })
  const value = username.normalize('NFC')
  const allowed = allowExtendedCharacters ? !never.test(value) : /^[A-Za-z0-9_-]*$/.test(value)
  if (!allowed)
    throw new UsherError(
      'form_username_invalid_character',
      allowExtendedCharacters
        ? 'A username cannot have spaces, @, + or slashes.'
        : 'A username can have letters, digits, underscores and hyphens only.',
      { param },
    )
  const length = [...value].length
  if (length < minLength || length > maxLength)
    throw new UsherError('form_username_invalid_length', `A username has ${minLength} to ${maxLength} characters.`, {
      param,
    })
  if (!allowNumeric && /^\d+$/.test(value))
    throw new UsherError('form_username_needs_non_number_char', 'A username needs a character that is not a digit.', {
      param,
    })
  return value
}
