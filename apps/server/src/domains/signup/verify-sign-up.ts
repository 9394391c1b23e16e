import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import type { Browser } from '../sessions/index.ts'
import { checkCode, sendCode, sendEmailLink } from '../verifications/index.ts'
import { completeIfReady } from './complete-sign-up.ts'
import { getOpenSignUp, type SignUp, type SignUpOutcome, withCode } from './queries.ts'
import { signUps } from './tables.ts'

/** Kinds of codes, and which part of a sign-up each proves. */
const codes = {
  email_code: { purpose: 'sign_up', param: 'email_address', missing: 'Enter an email address.' },
  phone_code: { purpose: 'sign_up_phone', param: 'phone_number', missing: 'Enter a phone number.' },
} as const
type CodeStrategy = keyof typeof codes

function parseStrategy(ctx: Ctx, strategy: string): CodeStrategy {
  const { emailAddress } = ctx.instance.settings
  if (Object.hasOwn(codes, strategy) && (strategy !== 'email_code' || emailAddress.codes))
    return strategy as CodeStrategy
  throw wrongStrategy()
}

const wrongStrategy = () =>
  new UsherError('form_param_value_invalid', 'This cannot be verified in this way.', { param: 'strategy' })

const isProven = (signUp: SignUp, strategy: CodeStrategy) =>
  (strategy === 'email_code' ? signUp.emailVerifiedAt : signUp.phoneVerifiedAt) !== null

const alreadyProven = () => new UsherError('verification_already_verified', 'This is verified already.')

/**
 * Sends a code to the sign-up's address or number.
 *
 * @throws {UsherError} `resource_not_found`, `form_param_value_invalid`, `form_param_missing`, `too_many_requests`,
 *   `verification_already_verified`
 */
export async function prepareSignUpVerification(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; strategy: string; redirectUrl?: string | undefined; publicUrl?: string | undefined },
): Promise<SignUpOutcome> {
  if (input.strategy === 'email_link') return sendSignUpLink(ctx, browser, input)
  const strategy = parseStrategy(ctx, input.strategy)
  return transaction(ctx, async (tx) => {
    const open = await getOpenSignUp(tx, { clientId: browser.clientId, id: input.id })
    const { id: subjectId, emailAddress, phoneNumber, locale } = open
    const { purpose, param, missing } = codes[strategy]
    if (isProven(open, strategy)) throw alreadyProven()
    if (strategy === 'email_code' && emailAddress) await sendCode(tx, { purpose, subjectId, emailAddress, locale })
    else if (strategy === 'phone_code' && phoneNumber) await sendCode(tx, { purpose, subjectId, phoneNumber, locale })
    else throw new UsherError('form_param_missing', missing, { param })
    return { signUp: await withCode(tx, open) }
  })
}

/**
 * Checks a code; completes the sign-up when nothing else is missing.
 *
 * @throws {UsherError} the errors of `checkCode`; `form_identifier_exists`
 */
export async function attemptSignUpVerification(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; strategy: string; code: unknown },
): Promise<SignUpOutcome> {
  const strategy = parseStrategy(ctx, input.strategy)
  const open = await transaction(ctx, (tx) => getOpenSignUp(tx, { clientId: browser.clientId, id: input.id }))
  if (isProven(open, strategy)) throw alreadyProven()
  const proven = await checkCode(ctx, { purpose: codes[strategy].purpose, subjectId: open.id, code: input.code })
  return transaction(ctx, async (tx) => {
    // The condition on what was proven: it may have been changed since the code was sent to the old one.
    const [row] = await tx.db
      .update(signUps)
      .set(
        strategy === 'email_code'
          ? { emailVerifiedAt: tx.now(), emailVerificationStrategy: strategy }
          : { phoneVerifiedAt: tx.now() },
      )
      .where(
        and(
          eq(signUps.id, open.id),
          eq(signUps.status, 'missing_requirements'),
          eq(strategy === 'email_code' ? signUps.emailAddress : signUps.phoneNumber, proven.recipient),
        ),
      )
      .returning()
    if (!row) throw new UsherError('verification_failed', 'It was changed meanwhile. Ask for a new code.')
    return completeIfReady(tx, browser, row)
  })
}

async function sendSignUpLink(
  ctx: Ctx,
  browser: Browser,
  input: { id: string; redirectUrl?: string | undefined; publicUrl?: string | undefined },
): Promise<SignUpOutcome> {
  if (!ctx.instance.settings.emailAddress.links) throw wrongStrategy()
  const { redirectUrl, publicUrl } = input
  if (!redirectUrl || !publicUrl)
    throw new UsherError('form_param_missing', 'redirect_url is missing.', { param: 'redirect_url' })
  return transaction(ctx, async (tx) => {
    const open = await getOpenSignUp(tx, { clientId: browser.clientId, id: input.id })
    if (isProven(open, 'email_code')) throw alreadyProven()
    if (!open.emailAddress)
      throw new UsherError('form_param_missing', codes.email_code.missing, { param: 'email_address' })
    await sendEmailLink(tx, {
      purpose: 'sign_up',
      subjectId: open.id,
      emailAddress: open.emailAddress,
      clientId: browser.clientId,
      redirectUrl,
      userAgent: browser.userAgent,
      ipAddress: browser.ipAddress,
      publicUrl,
      locale: open.locale,
    })
    return { signUp: await withCode(tx, open) }
  })
}

/**
 * Notes that the link to a sign-up's address was opened; completes the sign-up when nothing else is missing.
 *
 * @throws {UsherError} `resource_not_found`, `verification_failed` when the address was changed since
 */
export async function provenSignUpAddress(
  tx: Tx,
  browser: Browser,
  input: { id: string; emailAddress: string },
): Promise<SignUpOutcome> {
  const open = await getOpenSignUp(tx, { clientId: browser.clientId, id: input.id })
  const [row] = await tx.db
    .update(signUps)
    .set({ emailVerifiedAt: tx.now(), emailVerificationStrategy: 'email_link' })
    .where(
      and(
        eq(signUps.id, open.id),
        eq(signUps.status, 'missing_requirements'),
        eq(signUps.emailAddress, input.emailAddress),
      ),
    )
    .returning()
  if (!row) throw new UsherError('verification_failed', 'It was changed meanwhile. Ask for a new link.')
  return completeIfReady(tx, browser, row)
}
