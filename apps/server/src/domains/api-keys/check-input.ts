import { UsherError } from '../../kernel/errors.ts'
import { isPermission } from './queries.ts'
import type { Subject } from './require-subject.ts'

/** Bytes of claims, as JSON: applications hold them in memory for each request. */
const maxClaimsBytes = 4096
const maxScopes = 100
/** Seconds: a hundred years. What is to live longer does not run out. */
const maxTtl = 100 * 366 * 86_400

/** @throws {UsherError} `form_param_value_invalid` */
export function checkScopes(subject: Subject, scopes: readonly string[]): string[] {
  const distinct = [...new Set(scopes)]
  if (distinct.length > maxScopes || distinct.some((scope) => !/^[^\s\p{C}]{1,255}$/u.test(scope)))
    throw new UsherError(
      'form_param_value_invalid',
      `A key has ${maxScopes} scopes at most, each of 1 to 255 characters without spaces.`,
      { param: 'scopes' },
    )
  // It would say something about an organization, and not about which.
  if ('userId' in subject && distinct.some(isPermission))
    throw new UsherError('form_param_value_invalid', 'A person’s key holds no permissions of an organization.', {
      param: 'scopes',
    })
  return distinct
}

/** @throws {UsherError} `form_param_max_length_exceeded` */
export function checkClaims(claims: Record<string, unknown> | null): Record<string, unknown> | null {
  if (claims !== null && Buffer.byteLength(JSON.stringify(claims)) > maxClaimsBytes)
    throw new UsherError('form_param_max_length_exceeded', `Claims have ${maxClaimsBytes} bytes at most.`, {
      param: 'claims',
    })
  return claims
}

/** @param seconds null: it does not run out @throws {UsherError} `form_param_value_invalid` */
export function expiryOf(now: Date, seconds: number | null): Date | null {
  if (seconds === null) return null
  if (!Number.isSafeInteger(seconds) || seconds < 1 || seconds > maxTtl)
    throw new UsherError('form_param_value_invalid', 'A key lives from a second to a hundred years.', {
      param: 'seconds_until_expiration',
    })
  return new Date(now.getTime() + seconds * 1000)
}
