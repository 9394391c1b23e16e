import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { checkMayHave, isAllowlisted } from '../restrictions/index.ts'

type Applicant = {
  emailAddress?: string | null | undefined
  phoneNumber?: string | null | undefined
  /** An invitation admits whom it names, whatever the mode. */
  hasTicket: boolean
  /** At the end of the sign-up: who has not said who they are will not any more. */
  isLast?: boolean
}

/**
 * Whether somebody may sign up: by the instance's mode, its allow-list, and what restrictions say about their
 * identifiers.
 *
 * @throws {UsherError} `sign_up_mode_restricted`, `sign_up_restricted_waitlist`, `not_allowed_to_sign_up`,
 *   `form_email_address_blocked`, `not_allowed_access`
 */
export async function checkAdmission(tx: Tx, applicant: Applicant): Promise<void> {
  const { signUp, restrictions } = tx.instance.settings
  const { emailAddress, phoneNumber, isLast = false } = applicant
  if (emailAddress) await checkMayHave(tx, { kind: 'email_address', value: emailAddress })
  if (phoneNumber) await checkMayHave(tx, { kind: 'phone_number', value: phoneNumber })
  if (applicant.hasTicket || (signUp.mode === 'public' && !restrictions.allowlist)) return
  const listed =
    (emailAddress ? await isAllowlisted(tx, { kind: 'email_address', value: emailAddress }) : false) ||
    (phoneNumber ? await isAllowlisted(tx, { kind: 'phone_number', value: phoneNumber }) : false)
  if (listed) return
  // Who has not said who they are may still turn out to be on the list; the last step asks again.
  if (restrictions.allowlist && !emailAddress && !phoneNumber && !isLast) return
  if (signUp.mode === 'waitlist')
    throw new UsherError('sign_up_restricted_waitlist', 'Sign-ups are closed. Join the waitlist to be let in.')
  if (signUp.mode === 'restricted') throw new UsherError('sign_up_mode_restricted', 'Sign-ups are by invitation only.')
  throw new UsherError('not_allowed_to_sign_up', 'You are not allowed to sign up with this.', {
    param: emailAddress ? 'email_address' : 'phone_number',
  })
}
