import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Browser, NewClientToken } from '../sessions/index.ts'
import { provenSignUpAddress } from '../signup/index.ts'
import { verifyEmailAddress } from '../users/index.ts'
import { type EmailLink, readEmailLink, useEmailLink } from '../verifications/index.ts'
import { makeTransferable } from './attempt-first-factor.ts'
import { completeFirstFactor } from './complete-sign-in.ts'
import { firstFactorsOf } from './factors.ts'
import { getSignIn } from './queries.ts'

export type LinkOutcome = {
  status: 'verified' | 'expired' | 'failed' | 'client_mismatch' | 'transferable'
  redirectUrl: string
  createdSessionId?: string | null
  issued?: NewClientToken | undefined
}

/**
 * Looks at a link that somebody opened, and decides what may happen to it.
 *
 * Opening alone uses it only in the browser that asked for it, where the person is at work; mail scanners open links
 * too, and elsewhere a person is asked first.
 *
 * @param clientId the client of the browser that opened it
 * @returns `ask`: a person has to confirm; an outcome: nothing more is to be done
 */
export async function openEmailLink(
  ctx: Ctx,
  input: { token: unknown; clientId: string | undefined },
): Promise<{ step: 'use' | 'ask'; link: EmailLink } | { step: 'done'; outcome: LinkOutcome } | { step: 'unknown' }> {
  return transaction(ctx, async (tx) => {
    const found = await readEmailLink(tx, input.token)
    if (found.state === 'unknown') return { step: 'unknown' }
    const { link } = found
    const { redirectUrl } = link
    if (found.state === 'expired') return { step: 'done', outcome: { status: 'expired', redirectUrl } }
    if (link.clientId === input.clientId) return { step: 'use', link }
    if (ctx.instance.settings.emailAddress.linkRequiresSameClient)
      return { step: 'done', outcome: { status: 'client_mismatch', redirectUrl } }
    return { step: 'ask', link }
  })
}

/**
 * Uses a link and does what it proves. Whatever it signs in, it signs in on the client that asked for it.
 *
 * @param browser the one that opened it; its client need not be the one that asked
 */
export async function followEmailLink(
  ctx: Ctx,
  browser: Omit<Browser, 'clientId'> & { clientId: string | undefined },
  token: unknown,
): Promise<LinkOutcome | undefined> {
  const opened = await openEmailLink(ctx, { token, clientId: browser.clientId })
  if (opened.step === 'unknown') return undefined
  if (opened.step === 'done') return opened.outcome
  const { link } = opened
  try {
    return await transaction(ctx, async (tx) => {
      await useEmailLink(tx, token)
      const same = link.clientId === browser.clientId
      // Only the browser that asked can be handed a new client token; another one is none of the client's.
      const asking = { ...browser, clientId: link.clientId, carrier: same ? browser.carrier : undefined } as Browser
      return await prove(tx, asking, link)
    })
  } catch (error) {
    if (!(error instanceof UsherError)) throw error
    return { status: error.code === 'token_used' ? 'expired' : 'failed', redirectUrl: link.redirectUrl }
  }
}

async function prove(tx: Tx, browser: Browser, link: EmailLink): Promise<LinkOutcome> {
  const { redirectUrl } = link
  if (link.purpose === 'email_address') {
    await verifyEmailAddress(tx, { id: link.subjectId, verifiedBy: 'email_link' })
    return { status: 'verified', redirectUrl }
  }
  if (link.purpose === 'sign_up') {
    const { signUp, issued } = await provenSignUpAddress(tx, browser, {
      id: link.subjectId,
      emailAddress: link.emailAddress,
    })
    return { status: 'verified', redirectUrl, createdSessionId: signUp.createdSessionId, issued }
  }
  const signIn = await getSignIn(tx, { clientId: link.clientId, id: link.subjectId })
  const failed = () => new UsherError('verification_failed', 'This link does not fit the sign-in any more.')
  if (signIn.status !== 'needs_first_factor' || signIn.firstFactorStrategy !== 'email_link') throw failed()
  if (!signIn.user) {
    if (!signIn.signUpIfMissing || signIn.identifier !== link.emailAddress) throw failed()
    await makeTransferable(tx, signIn, 'email_link')
    return { status: 'transferable', redirectUrl }
  }
  // The address may have stopped being the person's since the link was sent.
  const theirs = firstFactorsOf(tx.instance, signIn.user).some(
    (f) => f.strategy === 'email_link' && f.emailAddress === link.emailAddress,
  )
  if (!theirs) throw failed()
  const { signIn: done, issued } = await completeFirstFactor(tx, browser, signIn, { strategy: 'email_link' })
  return { status: 'verified', redirectUrl, createdSessionId: done.createdSessionId, issued }
}
