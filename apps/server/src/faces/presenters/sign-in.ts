import type { Instance } from '../../domains/instances/index.ts'
import {
  type FirstFactor,
  type FurtherFactor,
  furtherFactorsOf,
  openFactorsOf,
  type SignInRecord,
} from '../../domains/signin/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { presentPublicUserData } from './user.ts'
import { presentCode, presentVerification } from './verification.ts'

/** A sign-in as its browser sees it. Before the first factor it shows only what whoever typed the identifier may know. */
export function presentSignIn(ctx: Ctx, signIn: SignInRecord) {
  const { user, status } = signIn
  const further =
    user && (status === 'needs_second_factor' || status === 'needs_client_trust')
      ? furtherFactorsOf(ctx.instance, user, status)
      : null
  // Whoever has not proven anything yet is not told whom an identifier belongs to where the instance does not tell.
  const shown = ctx.instance.settings.enumerationProtection && signIn.firstFactorVerifiedAt === null ? undefined : user
  return {
    object: 'sign_in_attempt' as const,
    id: signIn.id,
    status,
    supported_identifiers: identifiersOf(ctx.instance),
    supported_first_factors:
      status === 'needs_first_factor' && signIn.identifier !== null
        ? openFactorsOf(ctx, signIn).map((f) => presentFactor(f, signIn.identifier))
        : null,
    supported_second_factors: further?.map((f) => presentFurtherFactor(f, signIn.identifier)) ?? null,
    first_factor_verification: firstFactorVerification(ctx, signIn),
    second_factor_verification: secondFactorVerification(ctx, signIn),
    identifier: signIn.identifier,
    user_data: shown ? userData(shown) : null,
    created_session_id: signIn.createdSessionId,
    client_trust_state: status === 'needs_client_trust' ? ('pending' as const) : null,
    protect_check: null,
    abandon_at: signIn.abandonAt.getTime(),
  }
}

/** Kinds of identifiers that an instance signs people in with. */
export function identifiersOf({ settings }: Instance): string[] {
  return [
    ...(settings.emailAddress.use !== 'off' && settings.emailAddress.signIn ? ['email_address'] : []),
    ...(settings.phoneNumber.use !== 'off' && settings.phoneNumber.signIn ? ['phone_number'] : []),
    ...(settings.username.use !== 'off' && settings.username.signIn ? ['username'] : []),
    ...(settings.passkeys.enabled ? ['passkey'] : []),
  ]
}

function userData(user: NonNullable<SignInRecord['user']>) {
  const { first_name, last_name, image_url, has_image } = presentPublicUserData(user)
  return { first_name, last_name, image_url, has_image }
}

/** The components find the factor of what was typed by comparing with it; other addresses are not given away. */
export function presentFactor(factor: FirstFactor, identifier: string | null) {
  const { strategy } = factor
  if ('emailAddress' in factor) {
    const { emailAddress, emailAddressId, primary } = factor
    return { strategy, email_address_id: emailAddressId, safe_identifier: safe(emailAddress, identifier), primary }
  }
  if ('phoneNumber' in factor) {
    const { phoneNumber, phoneNumberId, primary } = factor
    return {
      strategy,
      phone_number_id: phoneNumberId,
      safe_identifier: safe(phoneNumber, identifier),
      primary,
      channel: 'sms',
    }
  }
  return { strategy }
}

export function presentFurtherFactor(factor: FurtherFactor, identifier: string | null) {
  if (factor.strategy !== 'phone_code') return presentFactor(factor as FirstFactor, identifier)
  const { strategy, phoneNumberId, phoneNumber, default: isDefault } = factor
  return {
    strategy,
    phone_number_id: phoneNumberId,
    safe_identifier: safe(phoneNumber, identifier),
    default: isDefault,
    channel: 'sms',
  }
}

const safe = (value: string, typed: string | null) => (value === typed ? value : mask(value))

function mask(value: string): string {
  const [local = '', domain] = value.split('@')
  if (domain !== undefined) return `${local.slice(0, 1)}*****@${domain}`
  return `${value.slice(0, 3)}${'*'.repeat(Math.max(3, value.length - 5))}${value.slice(-2)}`
}

function firstFactorVerification(ctx: Ctx, signIn: SignInRecord) {
  const { firstFactorStrategy: strategy, firstFactorVerifiedAt, code } = signIn
  if (strategy === null) return null
  const kind = verificationKind(strategy)
  if (code && !firstFactorVerifiedAt && !signIn.firstFactorError && kind === 'verification_otp')
    return presentCode(code, strategy, ctx.now())
  const { link } = signIn
  const linkOver = link !== undefined && !firstFactorVerifiedAt && link.expiresAt <= ctx.now()
  const status = signIn.transferable
    ? 'transferable'
    : linkOver
      ? 'expired'
      : signIn.firstFactorError
        ? 'failed'
        : firstFactorVerifiedAt
          ? 'verified'
          : 'unverified'
  return {
    ...presentVerification({
      object: kind,
      status,
      strategy,
      attempts: code?.attempts ?? null,
      expire_at: (link ?? code)?.expiresAt.getTime() ?? null,
    }),
    nonce: strategy === 'passkey' && !firstFactorVerifiedAt ? signIn.challenge : null,
    external_verification_redirect_url: firstFactorVerifiedAt ? null : signIn.externalRedirectUrl,
    error: signIn.firstFactorError,
  }
}

function secondFactorVerification(ctx: Ctx, signIn: SignInRecord) {
  const { secondFactorStrategy: strategy, secondFactorVerifiedAt, secondCode } = signIn
  if (strategy === null) return null
  if (secondCode && !secondFactorVerifiedAt) return presentCode(secondCode, strategy, ctx.now())
  return presentVerification({
    object: verificationKind(strategy),
    status: secondFactorVerifiedAt ? 'verified' : 'unverified',
    strategy,
    attempts: signIn.secondFactorAttempts,
    expire_at: null,
  })
}

function verificationKind(strategy: string): string {
  if (['password', 'ticket', 'passkey', 'totp', 'backup_code', 'email_link'].includes(strategy))
    return `verification_${strategy}`
  return strategy.startsWith('oauth_') ? 'verification_oauth' : 'verification_otp'
}
