import { and, eq, inArray } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { isGmailboxTaken } from '../users/index.ts'
import { isDisposableDomain } from './disposable.ts'
import { hasSubaddress, isGmail, withoutGmailDots, withoutSubaddress } from './identifiers.ts'
import { allowlistIdentifiers, blocklistIdentifiers } from './tables.ts'

export type RestrictedIdentifier = {
  kind: 'email_address' | 'phone_number' | 'username'
  /** Normalised as it is stored. */
  value: string
  /** Whose it becomes; absent at sign-up. */
  userId?: string
}

/**
 * Refuses an identifier that the instance's restrictions keep out. For every path on which somebody gets one: sign-up,
 * an address added to a profile, an address that a provider brings.
 *
 * @throws {UsherError} `form_email_address_blocked` or `not_allowed_access`
 */
export async function checkMayHave(tx: Tx, identifier: RestrictedIdentifier): Promise<void> {
  const { restrictions } = tx.instance.settings
  const { kind, value } = identifier
  if (restrictions.blocklist && (await isListed(tx, blocklistIdentifiers, identifier))) throw blocked(kind)
  if (kind !== 'email_address') return
  if (restrictions.blockEmailSubaddresses && hasSubaddress(value))
    throw new UsherError('form_email_address_blocked', 'Addresses with + = or # before the @ are not accepted.', {
      param: 'email_address',
    })
  if (restrictions.blockDisposableEmailDomains && isDisposableDomain(value.split('@')[1] ?? ''))
    throw new UsherError('form_email_address_blocked', 'Addresses of throw-away mail services are not accepted.', {
      param: 'email_address',
    })
  if (restrictions.ignoreDotsForGmail && isGmail(value)) await refuseSameGmail(tx, identifier)
}

/**
 * Whether a person may have the address that comes with an account at a provider. Where they may not and sign in by
 * that account all the same, the address does not become one of theirs.
 */
export async function mayTakeAddress(
  tx: Tx,
  { userId, profile }: { userId: string; profile: { emailAddress: string | null } },
): Promise<boolean> {
  if (profile.emailAddress === null) return false
  try {
    await checkMayHave(tx, { kind: 'email_address', value: profile.emailAddress, userId })
    return true
  } catch (error) {
    if (error instanceof UsherError) return false
    throw error
  }
}

/**
 * Refuses a sign-in by an identifier on the block-list.
 *
 * @throws {UsherError} `not_allowed_access`
 */
export async function checkMaySignIn(tx: Tx, identifier: RestrictedIdentifier): Promise<void> {
  if (!tx.instance.settings.restrictions.blocklist) return
  if (await isListed(tx, blocklistIdentifiers, identifier))
    throw new UsherError('not_allowed_access', 'Access is not allowed for this account.', { param: 'identifier' })
}

/** Whether the allow-list, where it is on, lets an identifier sign up. */
export async function isAllowlisted(tx: Tx, identifier: RestrictedIdentifier): Promise<boolean> {
  return tx.instance.settings.restrictions.allowlist && isListed(tx, allowlistIdentifiers, identifier)
}

function blocked(kind: RestrictedIdentifier['kind']): UsherError {
  return kind === 'email_address'
    ? new UsherError('form_email_address_blocked', 'This email address is not accepted.', { param: kind })
    : new UsherError('not_allowed_access', 'This identifier is not accepted.', { param: kind })
}

/** By itself, by its domain, and by the mailbox that it leads to: a blocked person adds no `+1` to get in. */
async function isListed(
  tx: Tx,
  table: typeof allowlistIdentifiers | typeof blocklistIdentifiers,
  { kind, value }: RestrictedIdentifier,
): Promise<boolean> {
  if (kind === 'username') return false
  const names = [value]
  if (kind === 'email_address')
    names.push(withoutSubaddress(value), withoutGmailDots(withoutSubaddress(value)), `*@${value.split('@')[1]}`)
  const [row] = await tx.db
    .select({ id: table.id })
    .from(table)
    .where(and(eq(table.instanceId, tx.instance.id), inArray(table.identifier, names)))
    .limit(1)
  return row !== undefined
}

async function refuseSameGmail(tx: Tx, { value, userId }: RestrictedIdentifier): Promise<void> {
  const mailbox = withoutGmailDots(value).split('@')[0] ?? ''
  if (!(await isGmailboxTaken(tx, { mailbox, emailAddress: value, userId }))) return
  throw new UsherError('form_identifier_exists', 'That email address is taken. Please try another.', {
    param: 'email_address',
  })
}
