import type { SessionVerification } from '../../domains/signin/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { presentSession } from './session.ts'
import { presentFactor, presentFurtherFactor } from './sign-in.ts'
import { presentCode, presentVerification } from './verification.ts'

/** A re-verification as its browser sees it. */
export function presentSessionVerification(ctx: Ctx, verification: SessionVerification) {
  const { status, level, session, strategy, code, secondCode } = verification
  const stageOf = (verifiedAt: Date | null, sent: typeof code, stage: 'first' | 'second') => {
    if (verifiedAt)
      return presentVerification({
        object: 'verification',
        status: 'verified',
        strategy,
        attempts: null,
        expire_at: null,
      })
    if (sent && strategy) return presentCode(sent, strategy, ctx.now())
    if (stage === 'first' && strategy === 'passkey' && verification.challenge)
      return {
        ...presentVerification({
          object: 'verification_passkey',
          status: 'unverified',
          strategy,
          attempts: verification.attempts,
          expire_at: verification.expiresAt.getTime(),
        }),
        nonce: verification.challenge,
      }
    return null
  }
  return {
    object: 'session_verification' as const,
    id: verification.id,
    status,
    level,
    session: presentSession(ctx, session, { user: true }),
    supported_first_factors: verification.firstFactors.map((f) => presentFactor(f, null)),
    supported_second_factors: verification.secondFactors.map((f) => presentFurtherFactor(f, null)),
    first_factor_verification: stageOf(verification.firstFactorVerifiedAt, code, 'first'),
    second_factor_verification: stageOf(verification.secondFactorVerifiedAt, secondCode, 'second'),
  }
}
