import { and, eq } from 'drizzle-orm'
import type { Tx } from '../../database/index.ts'
import { UsherError } from '../../kernel/errors.ts'
import { type Browser, createSession, noteClientFlow } from '../sessions/index.ts'
import { type SignIn, type SignInOutcome, withDetails } from './queries.ts'
import { signIns } from './tables.ts'

type Completion = {
  strategy: NonNullable<SignIn['firstFactorStrategy']>
  organizationId?: string | null
  actor?: { sub: string; iss?: string } | null
}

/**
 * Signs the person in. Of parallel steps one completes.
 *
 * @throws {UsherError} `token_used` when the sign-in is not where the caller saw it; `user_banned`, `user_locked`
 */
export async function completeSignIn(
  tx: Tx,
  browser: Browser,
  signIn: SignIn,
  completion: Completion,
): Promise<SignInOutcome> {
  const now = tx.now()
  const [claimed] = await tx.db
    .update(signIns)
    .set({
      status: 'complete',
      firstFactorStrategy: completion.strategy,
      firstFactorVerifiedAt: signIn.firstFactorVerifiedAt ?? now,
    })
    .where(and(eq(signIns.id, signIn.id), eq(signIns.status, signIn.status)))
    .returning()
  if (!claimed?.userId) throw new UsherError('token_used', 'This sign-in was completed already.')
  const { strategy, ...rest } = completion
  const { session, issued } = await createSession(tx, { ...browser, ...rest, userId: claimed.userId, strategy })
  await noteClientFlow(tx, browser.clientId, { signInId: null, signUpId: null })
  const [done] = await tx.db
    .update(signIns)
    .set({ createdSessionId: session.id })
    .where(eq(signIns.id, claimed.id))
    .returning()
  return { signIn: await withDetails(tx, done ?? claimed), issued }
}
