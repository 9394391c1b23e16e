import { type FirstFactor, firstFactorsOf, type SignInRecord } from '../../domains/signin/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { presentPublicUserData } from './user.ts'
import { presentCode, presentVerification } from './verification.ts'

/** A sign-in as its browser sees it. Before the first factor it shows only what whoever typed the address may know. */
export function presentSignIn(ctx: Ctx, signIn: SignInRecord) {
  const { user, status } = signIn
  const asks = status === 'needs_first_factor' && user !== undefined
  return {
    object: 'sign_in_attempt' as const,
    id: signIn.id,
    status,
    supported_identifiers: ['email_address'],
    supported_first_factors: asks ? firstFactorsOf(user).map((f) => presentFactor(f, signIn.identifier)) : null,
    supported_second_factors: null,
    first_factor_verification: firstFactorVerification(ctx, signIn),
    second_factor_verification: null,
    identifier: signIn.identifier,
    user_data: user ? userData(user) : null,
    created_session_id: signIn.createdSessionId,
    client_trust_state: null,
    protect_check: null,
    abandon_at: signIn.abandonAt.getTime(),
  }
}

function userData(user: NonNullable<SignInRecord['user']>) {
  const { first_name, last_name, image_url, has_image } = presentPublicUserData(user)
  return { first_name, last_name, image_url, has_image }
}

function presentFactor(factor: FirstFactor, identifier: string | null) {
  if (factor.strategy === 'password') return { strategy: factor.strategy }
  const { strategy, emailAddressId, emailAddress, primary } = factor
  // The components find the factor of what was typed by comparing with it; other addresses are not given away.
  const safe = emailAddress === identifier ? emailAddress : maskAddress(emailAddress)
  return { strategy, email_address_id: emailAddressId, safe_identifier: safe, primary }
}

function maskAddress(emailAddress: string): string {
  const [local = '', domain = ''] = emailAddress.split('@')
  return `${local.slice(0, 1)}*****@${domain}`
}

function firstFactorVerification(ctx: Ctx, signIn: SignInRecord) {
  const { firstFactorStrategy: strategy, firstFactorVerifiedAt, code } = signIn
  if (strategy === null) return null
  if (code && !firstFactorVerifiedAt) return presentCode(code, strategy, ctx.now())
  const kinds = { password: 'verification_password', ticket: 'verification_ticket' } as Record<string, string>
  return presentVerification({
    object: kinds[strategy] ?? 'verification_otp',
    status: firstFactorVerifiedAt ? 'verified' : 'unverified',
    strategy,
    attempts: code?.attempts ?? null,
    expire_at: code?.expiresAt.getTime() ?? null,
  })
}
