import { UsherError } from '../../kernel/errors.ts'
import { parseEmailAddress } from '../verifications/index.ts'

export type ListedKind = 'email_address' | 'phone_number' | 'web3_wallet'

/**
 * An entry as the lists hold it: an address in lower case, `*@domain` for all of a domain, a number in E.164, or a
 * wallet's address.
 *
 * @throws {UsherError} `form_param_format_invalid`
 */
export function parseListedIdentifier(value: unknown): { identifier: string; identifierType: ListedKind } {
  const typed = typeof value === 'string' ? value.trim() : ''
  if (/^\+[\d\s().-]{5,30}$/.test(typed))
    return { identifier: `+${typed.replace(/\D/g, '')}`, identifierType: 'phone_number' }
  if (/^0x[0-9a-fA-F]{40}$/.test(typed)) return { identifier: typed.toLowerCase(), identifierType: 'web3_wallet' }
  const wildcard = typed.startsWith('*@')
  const checked = parseEmailAddress(wildcard ? `any${typed.slice(1)}` : typed, 'identifier')
  if (!wildcard && checked.includes('*'))
    throw new UsherError('form_param_format_invalid', 'A * stands for everything before the @, and nowhere else.', {
      param: 'identifier',
    })
  return { identifier: wildcard ? `*${checked.slice(3)}` : checked, identifierType: 'email_address' }
}

/** The part of an address that names the mailbox, without what its owner added after `+`, `=` or `#`. */
export function withoutSubaddress(emailAddress: string): string {
  const at = emailAddress.lastIndexOf('@')
  return `${emailAddress.slice(0, at).replace(/(?<=.)[+=#].*$/, '')}${emailAddress.slice(at)}`
}

/** Whether an address has something after `+`, `=` or `#`: many addresses for one mailbox. */
export function hasSubaddress(emailAddress: string): boolean {
  return withoutSubaddress(emailAddress) !== emailAddress
}

/** Google delivers `a.d.a@gmail.com` to `ada@gmail.com`. */
export function withoutGmailDots(emailAddress: string): string {
  const [local = '', domain = ''] = emailAddress.split('@')
  return isGmail(emailAddress) ? `${local.replaceAll('.', '')}@${domain}` : emailAddress
}

export function isGmail(emailAddress: string): boolean {
  return /@(gmail|googlemail)\.com$/.test(emailAddress)
}
