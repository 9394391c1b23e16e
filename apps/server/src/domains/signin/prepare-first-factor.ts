import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { passkeyRequestOptions } from '../credentials/index.ts'
import type { Browser } from '../sessions/index.ts'
import { identifierOf } from '../users/index.ts'
import { sendCode, sendEmailLink } from '../verifications/index.ts'
import { type FirstFactor, firstFactorsOf, hasFactor, idOfFactor, plausibleFactorsOf } from './factors.ts'
import {
  codePurposes,
  getOpenSignIn,
  type SignIn,
  type SignInOutcome,
  type SignInRecord,
  stepOver,
  withDetails,
} from './queries.ts'
import { signIns } from './tables.ts'

export type PrepareFirstFactorInput = {
  id: string
  strategy: string
  /** Which address or number; the one that was typed when absent. */
  emailAddressId?: string | undefined
  phoneNumberId?: string | undefined
  /** The page that the link of an email leads to in the end; checked by the face. */
  redirectUrl?: string | undefined
  /** Origin of this server as browsers reach it, for links. */
  publicUrl?: string | undefined
  /** Host name for which passkeys are asked. */
  rpId?: string | undefined
}

/**
 * Sends the code of a strategy to one of the person's proven addresses or numbers, or asks for a passkey.
 *
 * @throws {UsherError} `strategy_for_user_invalid`, `verification_already_verified`, `too_many_requests`
 */
export async function prepareFirstFactor(
  ctx: Ctx,
  browser: Browser,
  input: PrepareFirstFactorInput,
): Promise<SignInOutcome> {
  return transaction(ctx, async (tx) => {
    const signIn = await getOpenSignIn(tx, { clientId: browser.clientId, id: input.id })
    const factor = chooseFactor(ctx, signIn, input)
    switch (factor?.strategy) {
      case 'email_code':
      case 'phone_code':
      case 'reset_password_email_code':
      case 'reset_password_phone_code':
        return { signIn: await sendFactorCode(tx, signIn, factor) }
      case 'email_link':
        return { signIn: await sendLink(tx, browser, signIn, factor, input) }
      case 'passkey':
        return { signIn: await askForPasskey(tx, signIn, input.rpId) }
      default:
        throw new UsherError('strategy_for_user_invalid', 'This method cannot be used with this account.', {
          param: 'strategy',
        })
    }
  })
}

/**
 * Ways in that are open to a sign-in; for an unknown person those that one would have. Where the instance does not tell
 * who has an account, everybody is offered the same: what somebody has set up would tell them from nobody.
 */
export function openFactorsOf(ctx: Ctx, signIn: SignInRecord): FirstFactor[] {
  const { enumerationProtection } = ctx.instance.settings
  const { user, identifier } = signIn
  if (user && !(enumerationProtection && identifier !== null)) return firstFactorsOf(ctx.instance, user)
  if (identifier === null) return []
  const factors = plausibleFactorsOf(ctx, identifierOf(identifier), user)
  // Nobody has set a password for an account that is only to be made.
  return signIn.signUpIfMissing && !enumerationProtection
    ? factors.filter((f) => ['email_code', 'email_link', 'phone_code'].includes(f.strategy))
    : factors
}

function chooseFactor(
  ctx: Ctx,
  signIn: SignInRecord,
  { strategy, emailAddressId, phoneNumberId }: PrepareFirstFactorInput,
): FirstFactor | undefined {
  // Without an identifier any passkey of this application will do: it says whose it is.
  if (strategy === 'passkey' && ctx.instance.settings.passkeys.enabled) return { strategy }
  const { user } = signIn
  const candidates = openFactorsOf(ctx, signIn).filter((f) => f.strategy === strategy)
  const wantedEmail = emailAddressId || signIn.identificationId || user?.primaryEmailAddressId
  const wantedPhone = phoneNumberId || signIn.identificationId || user?.primaryPhoneNumberId
  return (
    candidates.find((f) =>
      'emailAddressId' in f
        ? f.emailAddressId === wantedEmail
        : 'phoneNumberId' in f
          ? f.phoneNumberId === wantedPhone
          : true,
    ) ??
    // Whoever typed a username or a number has said nothing about which address: the primary one, or the only one.
    (emailAddressId || phoneNumberId
      ? undefined
      : (candidates.find((f) => 'primary' in f && f.primary) ?? candidates[0]))
  )
}

async function sendFactorCode(
  tx: Tx,
  signIn: SignInRecord,
  factor: Extract<FirstFactor, { primary: boolean }>,
): Promise<SignInRecord> {
  const purpose = codePurposes[factor.strategy] ?? 'sign_in'
  const deliver = mayDeliver(tx, signIn, factor)
  const to = 'emailAddress' in factor ? { emailAddress: factor.emailAddress } : { phoneNumber: factor.phoneNumber }
  const code = await sendCode(tx, { purpose, subjectId: signIn.id, deliver, ...to })
  const identificationId = 'emailAddressId' in factor ? factor.emailAddressId : factor.phoneNumberId
  const row = await update(tx, signIn, { firstFactorStrategy: factor.strategy, identificationId })
  return { ...row, user: signIn.user, code, secondCode: undefined, link: undefined }
}

/**
 * Who has no account is sent something only to be made one, and who has one only what they can use; else nothing leaves
 * and the answer is the same.
 */
function mayDeliver(tx: Tx, { user, signUpIfMissing }: SignInRecord, factor: FirstFactor): boolean {
  if (user) return hasFactor(tx.instance, user, { strategy: factor.strategy, id: idOfFactor(factor) })
  return signUpIfMissing && !factor.strategy.startsWith('reset_password_')
}

async function sendLink(
  tx: Tx,
  browser: Browser,
  signIn: SignInRecord,
  factor: Extract<FirstFactor, { emailAddress: string }>,
  { redirectUrl, publicUrl }: PrepareFirstFactorInput,
): Promise<SignInRecord> {
  if (!redirectUrl || !publicUrl)
    throw new UsherError('form_param_missing', 'redirect_url is missing.', { param: 'redirect_url' })
  await sendEmailLink(tx, {
    purpose: 'sign_in',
    subjectId: signIn.id,
    emailAddress: factor.emailAddress,
    clientId: browser.clientId,
    redirectUrl,
    userAgent: browser.userAgent,
    ipAddress: browser.ipAddress,
    publicUrl,
    deliver: mayDeliver(tx, signIn, factor),
  })
  const { emailAddressId: identificationId } = factor
  return withDetails(tx, await update(tx, signIn, { firstFactorStrategy: 'email_link', identificationId, redirectUrl }))
}

async function askForPasskey(tx: Tx, signIn: SignInRecord, rpId: string | undefined): Promise<SignInRecord> {
  if (!rpId)
    throw new UsherError('strategy_for_user_invalid', 'Passkeys cannot be used from here.', { param: 'strategy' })
  const { optionsJson } = await passkeyRequestOptions(tx, {
    rpId,
    ...(signIn.userId && { userId: signIn.userId }),
    ...(signIn.identifier && { identifier: signIn.identifier }),
  })
  const row = await update(tx, signIn, { firstFactorStrategy: 'passkey', challenge: optionsJson })
  return withDetails(tx, row)
}

async function update(tx: Tx, signIn: SignIn, set: Partial<SignIn>): Promise<SignIn> {
  const [row] = await tx.db
    .update(signIns)
    .set(set)
    .where(and(eq(signIns.id, signIn.id), eq(signIns.status, 'needs_first_factor')))
    .returning()
  if (!row) throw stepOver()
  return row
}
