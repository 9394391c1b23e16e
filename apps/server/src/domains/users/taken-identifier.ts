import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'

/** What a violated unique index means to the caller; any other error as it is. */
export function takenIdentifier(error: unknown): unknown {
  if (isUniqueViolation(error, 'users_username'))
    return new UsherError('form_identifier_exists', 'That username is taken. Please try another.', {
      param: 'username',
    })
  if (isUniqueViolation(error, 'users_external_id'))
    return new UsherError('form_identifier_exists', 'That external id is in use.', { param: 'external_id' })
  return error
}
