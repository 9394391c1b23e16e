import { domainToASCII } from 'node:url'
import { UsherError } from '../../kernel/errors.ts'
import { isDisposableDomain } from '../restrictions/index.ts'
import { isCommonDomain } from './common-domains.ts'

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const pattern = new RegExp(`^(?:${label}\\.)+(?=[a-z0-9-]*[a-z])${label}$`)

/**
 * The name of an email domain, in lower case and ASCII (`münchen.example` is `xn--mnchen-3ya.example`).
 *
 * @throws {UsherError} `form_param_format_invalid`, `organization_domain_common` or `organization_domain_blocked`
 */
export function parseDomainName(value: unknown): string {
  const typed = typeof value === 'string' ? value.trim().toLowerCase() : ''
  // Anything that would be read as more than a name: a path, a port, an address.
  const name = /^[^\s/\\:@?#%[\]]{1,253}$/.test(typed) ? domainToASCII(typed) : ''
  if (name.length > 253 || !pattern.test(name))
    throw new UsherError('form_param_format_invalid', 'This is not a domain name.', { param: 'name' })
  if (isCommonDomain(name))
    throw new UsherError('organization_domain_common', 'This is a domain at which anybody can have a mailbox.', {
      param: 'name',
    })
  if (isDisposableDomain(name))
    throw new UsherError('organization_domain_blocked', 'This is a domain of mailboxes that last for minutes.', {
      param: 'name',
    })
  return name
}
