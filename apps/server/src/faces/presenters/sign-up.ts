import { requirementsOf, type SignUpRecord } from '../../domains/signup/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { presentCode, presentVerification } from './verification.ts'

/** A sign-up as its browser sees it. */
export function presentSignUp(ctx: Ctx, signUp: SignUpRecord) {
  const { required, optional, missing, unverified } = requirementsOf(ctx.instance, signUp)
  const over = signUp.status === 'complete'
  return {
    object: 'sign_up_attempt' as const,
    id: signUp.id,
    status: signUp.status,
    required_fields: required,
    optional_fields: optional,
    missing_fields: over ? [] : missing,
    unverified_fields: over ? [] : unverified,
    verifications: {
      email_address: emailVerification(ctx, signUp),
      phone_number: null,
      web3_wallet: null,
      external_account: null,
    },
    username: null,
    first_name: signUp.firstName,
    last_name: signUp.lastName,
    email_address: signUp.emailAddress,
    phone_number: null,
    web3_wallet: null,
    has_password: signUp.passwordHash !== null || over,
    password_enabled: signUp.passwordHash !== null || over,
    unsafe_metadata: signUp.unsafeMetadata,
    public_metadata: {},
    custom_action: false,
    external_id: null,
    created_session_id: signUp.createdSessionId,
    created_user_id: signUp.createdUserId,
    abandon_at: signUp.abandonAt.getTime(),
    // Exactly null: the components take an absent value for consent.
    legal_accepted_at: signUp.legalAcceptedAt?.getTime() ?? null,
    locale: null,
    external_account: null,
    external_account_strategy: null,
    protect_check: null,
  }
}

function emailVerification(ctx: Ctx, signUp: SignUpRecord) {
  if (signUp.emailAddress === null) return null
  const { code, emailVerifiedAt, emailVerificationStrategy } = signUp
  if (emailVerifiedAt)
    return {
      ...presentVerification({
        object: emailVerificationStrategy === 'ticket' ? 'verification_ticket' : 'verification_otp',
        status: 'verified',
        strategy: emailVerificationStrategy ?? 'email_code',
        attempts: code?.attempts ?? null,
        expire_at: null,
      }),
      next_action: '',
      supported_strategies: ['email_code'],
    }
  // A code that went to the address typed before says nothing about this one.
  const current = code?.recipient === signUp.emailAddress ? code : undefined
  // Without a strategy: with one the components take it that a code was sent, and ask for none.
  const none = {
    object: 'verification_otp',
    status: 'unverified' as const,
    strategy: null,
    attempts: 0,
    expire_at: null,
  }
  return {
    ...(current ? presentCode(current, 'email_code', ctx.now()) : presentVerification(none)),
    next_action: current ? 'needs_attempt' : 'needs_prepare',
    supported_strategies: ['email_code'],
  }
}
