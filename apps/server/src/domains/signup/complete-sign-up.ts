import { and, eq, isNotNull } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { setPasswordHash } from '../credentials/index.ts'
import { type Browser, createSession, noteClientFlow } from '../sessions/index.ts'
import { createUser, updateUser } from '../users/index.ts'
import { requirementsOf, type SignUp, type SignUpOutcome, withCode } from './queries.ts'
import { signUps } from './tables.ts'
import { spendTicket } from './tickets.ts'

/**
 * Makes the account and signs it in when nothing is missing or unproven; otherwise leaves the sign-up open.
 *
 * @throws {UsherError} `form_identifier_exists` when somebody else proved the address in the meantime
 */
export async function completeIfReady(tx: Tx, browser: Browser, signUp: SignUp): Promise<SignUpOutcome> {
  const { missing, unverified } = requirementsOf(tx.instance, signUp)
  if (missing.length > 0 || unverified.length > 0) return { signUp: await withCode(tx, signUp) }

  // One of several parallel steps completes; the others find the sign-up over and make no second account.
  const [claimed] = await tx.db
    .update(signUps)
    .set({ status: 'complete' })
    .where(
      and(eq(signUps.id, signUp.id), eq(signUps.status, 'missing_requirements'), isNotNull(signUps.emailVerifiedAt)),
    )
    .returning()
  if (!claimed) throw new UsherError('resource_not_found', 'This sign-up is over. Please begin again.')
  const userId = await createAccount(tx, claimed)
  const spent = claimed.oneTimeTokenId ? await spendTicket(tx, claimed.oneTimeTokenId, userId) : undefined
  if (spent && Object.keys(spent.publicMetadata).length > 0)
    await updateUser(tx, { id: userId, publicMetadata: spent.publicMetadata })
  const { session, issued } = await createSession(tx, {
    ...browser,
    userId,
    strategy: claimed.emailVerificationStrategy === 'ticket' ? 'ticket' : 'email_code',
    organizationId: spent?.organizationId ?? null,
  })
  await noteClientFlow(tx, browser.clientId, { signUpId: null, signInId: null })
  const [done] = await tx.db
    .update(signUps)
    // The hash lives on with the user alone.
    .set({ createdUserId: userId, createdSessionId: session.id, passwordHash: null })
    .where(eq(signUps.id, claimed.id))
    .returning()
  return { signUp: await withCode(tx, done ?? claimed), issued }
}

async function createAccount(tx: Tx, signUp: SignUp): Promise<string> {
  try {
    const user = await createUser(tx, {
      emailAddresses: [{ emailAddress: signUp.emailAddress as string, verifiedBy: signUp.emailVerificationStrategy }],
      firstName: signUp.firstName,
      lastName: signUp.lastName,
      unsafeMetadata: signUp.unsafeMetadata,
      legalAcceptedAt: signUp.legalAcceptedAt,
    })
    if (signUp.passwordHash) await setPasswordHash(tx, { userId: user.id, hash: signUp.passwordHash })
    return user.id
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new UsherError('form_identifier_exists', 'That email address is taken. Please try another.', {
      param: 'email_address',
    })
  }
}
