import { requirementsOf, type SignUpRecord } from '../../domains/signup/index.ts'
import type { CodeState, EmailLinkState } from '../../domains/verifications/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { presentCode, presentVerification } from './verification.ts'

/** A sign-up as its browser sees it. */
export function presentSignUp(ctx: Ctx, signUp: SignUpRecord) {
  const { required, optional, missing, unverified } = requirementsOf(ctx.instance, signUp)
  const over = signUp.status === 'complete'
  const { settings } = ctx.instance
  const emailStrategies = [
    ...(settings.emailAddress.codes ? ['email_code'] : []),
    ...(settings.emailAddress.links ? ['email_link'] : []),
  ]
  return {
    object: 'sign_up_attempt' as const,
    id: signUp.id,
    status: signUp.status,
    required_fields: required,
    optional_fields: optional,
    missing_fields: over ? [] : missing,
    unverified_fields: over ? [] : unverified,
    verifications: {
      email_address:
        signUp.emailAddress === null
          ? null
          : presentIdentifier(ctx, {
              value: signUp.emailAddress,
              verifiedAt: signUp.emailVerifiedAt,
              strategy: signUp.emailVerificationStrategy,
              code: signUp.code,
              link: signUp.link,
              strategies: emailStrategies,
            }),
      phone_number:
        signUp.phoneNumber === null
          ? null
          : presentIdentifier(ctx, {
              value: signUp.phoneNumber,
              verifiedAt: signUp.phoneVerifiedAt,
              strategy: 'phone_code',
              code: signUp.phoneCode,
              strategies: ['phone_code'],
            }),
      web3_wallet: null,
      external_account: presentExternal(signUp),
    },
    username: signUp.username,
    first_name: signUp.firstName,
    last_name: signUp.lastName,
    email_address: signUp.emailAddress,
    phone_number: signUp.phoneNumber,
    web3_wallet: null,
    has_password: signUp.passwordHash !== null,
    password_enabled: signUp.passwordHash !== null,
    unsafe_metadata: signUp.unsafeMetadata,
    public_metadata: signUp.publicMetadata,
    custom_action: signUp.customAction,
    external_id: signUp.externalId,
    created_session_id: signUp.createdSessionId,
    created_user_id: signUp.createdUserId,
    abandon_at: signUp.abandonAt.getTime(),
    // Exactly null: the components take an absent value for consent.
    legal_accepted_at: signUp.legalAcceptedAt?.getTime() ?? null,
    locale: signUp.locale,
    external_account: null,
    external_account_strategy: signUp.externalStrategy,
    protect_check: null,
  }
}

type Identifier = {
  value: string
  verifiedAt: Date | null
  strategy: string | null
  code: CodeState | undefined
  link?: EmailLinkState | undefined
  strategies: string[]
}

function presentIdentifier(ctx: Ctx, { value, verifiedAt, strategy, code, link, strategies }: Identifier) {
  if (verifiedAt) {
    const object = strategy === 'ticket' || strategy === 'email_link' ? `verification_${strategy}` : 'verification_otp'
    const verified = { object, status: 'verified' as const, strategy, attempts: code?.attempts ?? null }
    return {
      ...presentVerification({ ...verified, expire_at: null }),
      next_action: '',
      supported_strategies: strategies,
    }
  }
  // A code that went to what was typed before says nothing about this one.
  const current = code?.recipient === value ? code : undefined
  if (link && link.recipient === value && !current)
    return {
      ...presentVerification({
        object: 'verification_email_link',
        status: link.expiresAt <= ctx.now() ? 'expired' : 'unverified',
        strategy: 'email_link',
        attempts: null,
        expire_at: link.expiresAt.getTime(),
      }),
      next_action: 'needs_attempt',
      supported_strategies: strategies,
    }
  // Without a strategy: with one the components take it that a code was sent, and ask for none.
  const none = {
    object: 'verification_otp',
    status: 'unverified' as const,
    strategy: null,
    attempts: 0,
    expire_at: null,
  }
  const sent = current?.channel === 'sms' ? 'phone_code' : 'email_code'
  return {
    ...(current ? presentCode(current, sent, ctx.now()) : presentVerification(none)),
    next_action: current ? 'needs_attempt' : 'needs_prepare',
    supported_strategies: strategies,
  }
}

function presentExternal(signUp: SignUpRecord) {
  if (signUp.externalStrategy === null) return null
  const status = signUp.externalTransferable
    ? 'transferable'
    : signUp.externalError
      ? 'failed'
      : signUp.externalVerifiedAt
        ? 'verified'
        : 'unverified'
  return {
    ...presentVerification({
      object: 'verification_oauth',
      status,
      strategy: signUp.externalStrategy,
      attempts: null,
      expire_at: null,
    }),
    external_verification_redirect_url: signUp.externalVerifiedAt ? null : signUp.externalRedirectUrl,
    error: signUp.externalError,
  }
}
