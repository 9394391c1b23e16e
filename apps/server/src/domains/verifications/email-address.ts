import { UsherError } from '../../kernel/errors.ts'

/** Dot-atom local part and a domain of at least two labels (RFC 5321 §4.1.2 without quoted strings and literals). */
const pattern =
  /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])$/

/** An address has 254 characters; some spaces may be around it. */
const maxTyped = 300

/**
 * One address in lower case. Whatever could name two recipients or reach a mail header (lists, display names, control
 * characters, quoted strings) is refused here, before anything is written or sent.
 *
 * @param value as it came over the wire, of any type
 * @param param name of the parameter at fault
 * @throws {UsherError} `form_param_format_invalid`
 */
export function parseEmailAddress(value: unknown, param = 'email_address'): string {
  // Looked at before anything else: at each of very many spaces a search for the last ones would begin.
  const isShort = typeof value === 'string' && value.length <= maxTyped
  const address = isShort ? value.replace(/^ +| +$/g, '').toLowerCase() : ''
  const [local = ''] = address.split('@')
  if (address.length > 254 || local.length > 64 || !pattern.test(address))
    throw new UsherError('form_param_format_invalid', 'This is not a valid email address.', { param })
  return address
}
