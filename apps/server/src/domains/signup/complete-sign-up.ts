import { and, eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { isUniqueViolation, UsherError } from '../../kernel/errors.ts'
import { setPasswordHash } from '../credentials/index.ts'
import { mayTakeAddress } from '../restrictions/index.ts'
import { type Browser, createSession } from '../sessions/index.ts'
import { addPhoneNumber, createUser, linkExternalAccount, updateUser } from '../users/index.ts'
import { checkAdmission } from './admission.ts'
import { requirementsOf, type SignUp, type SignUpOutcome, signUpOver, withCode } from './queries.ts'
import { signUps } from './tables.ts'
import { spendTicket } from './tickets.ts'
import { completeWaitlistEntry } from './waitlist.ts'

/**
 * Makes the account and signs it in when nothing is missing or unproven; otherwise leaves the sign-up open.
 *
 * @throws {UsherError} `form_identifier_exists` when somebody else proved the address in the meantime
 */
export async function completeIfReady(tx: Tx, browser: Browser, signUp: SignUp): Promise<SignUpOutcome> {
  if (!isReady(tx, signUp)) return { signUp: await withCode(tx, signUp) }

  // One of several parallel steps completes; the others find the sign-up over and make no second account.
  const [claimed] = await tx.db
    .update(signUps)
    .set({ status: 'complete' })
    .where(and(eq(signUps.id, signUp.id), eq(signUps.status, 'missing_requirements')))
    .returning()
  // What was proven may have been exchanged for something unproven by a parallel step: what is there now counts.
  if (!claimed || !isReady(tx, claimed)) throw signUpOver()
  await checkAdmission(tx, { ...claimed, hasTicket: claimed.oneTimeTokenId !== null, isLast: true })
  const userId = await createAccount(tx, claimed)
  const spent = claimed.oneTimeTokenId ? await spendTicket(tx, claimed.oneTimeTokenId, userId) : undefined
  if (spent && Object.keys(spent.publicMetadata).length > 0)
    await updateUser(tx, { id: userId, publicMetadata: spent.publicMetadata })
  if (claimed.emailAddress) await completeWaitlistEntry(tx, claimed.emailAddress)
  const { session, issued } = await createSession(tx, {
    ...browser,
    userId,
    strategy: strategyOf(claimed),
    organizationId: spent?.organizationId ?? null,
  })
  const [done] = await tx.db
    .update(signUps)
    // The hash and the provider's tokens live on with the user alone.
    .set({ createdUserId: userId, createdSessionId: session.id, passwordHash: null, externalProfile: null })
    .where(eq(signUps.id, claimed.id))
    .returning()
  return { signUp: await withCode(tx, done ?? claimed), issued }
}

function isReady(tx: Tx, signUp: SignUp): boolean {
  const { missing, unverified } = requirementsOf(tx.instance, signUp)
  return missing.length === 0 && unverified.length === 0
}

/** How the person proved who they are, for their next sign-in. */
function strategyOf(signUp: SignUp): string {
  if (signUp.externalStrategy && signUp.externalVerifiedAt) return signUp.externalStrategy
  const { emailVerificationStrategy: byEmail } = signUp
  if (byEmail && !byEmail.startsWith('from_oauth')) return byEmail
  return signUp.phoneVerifiedAt ? 'phone_code' : 'password'
}

async function createAccount(tx: Tx, signUp: SignUp): Promise<string> {
  try {
    const user = await createUser(tx, {
      emailAddresses:
        signUp.emailAddress === null
          ? []
          : [
              {
                emailAddress: signUp.emailAddress,
                verifiedBy: signUp.emailVerifiedAt ? signUp.emailVerificationStrategy : null,
              },
            ],
      username: signUp.username,
      firstName: signUp.firstName,
      lastName: signUp.lastName,
      unsafeMetadata: signUp.unsafeMetadata,
      publicMetadata: signUp.publicMetadata,
      externalId: signUp.externalId,
      locale: signUp.locale,
      legalAcceptedAt: signUp.legalAcceptedAt,
    })
    if (signUp.phoneNumber) {
      const verifiedBy = signUp.phoneVerifiedAt ? 'phone_code' : null
      await addPhoneNumber(tx, { userId: user.id, phoneNumber: signUp.phoneNumber, verifiedBy })
    }
    if (signUp.passwordHash) await setPasswordHash(tx, { userId: user.id, hash: signUp.passwordHash })
    const profile = signUp.externalVerifiedAt ? signUp.externalProfile : null
    if (profile) {
      const takeAddress = await mayTakeAddress(tx, { userId: user.id, profile })
      await linkExternalAccount(tx, { userId: user.id, profile, takeAddress })
    }
    return user.id
  } catch (error) {
    if (!isUniqueViolation(error)) throw error
    throw new UsherError('form_identifier_exists', 'That email address is taken. Please try another.', {
      param: 'email_address',
    })
  }
}
