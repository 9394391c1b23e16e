import { type CodeState, codeStatusAt } from '../../domains/verifications/index.ts'

type Verification = {
  object: string
  status: 'unverified' | 'verified' | 'failed' | 'expired' | 'transferable'
  strategy: string | null
  attempts: number | null
  expire_at: number | null
}

/** What is common to verifications of every kind; the SDKs read absent fields as their defaults, these as null. */
export function presentVerification(verification: Verification) {
  return {
    ...verification,
    nonce: null,
    message: null,
    external_verification_redirect_url: null,
    error: null,
  }
}

/** The state of an emailed code. */
export function presentCode(code: CodeState, strategy: string, now: Date) {
  return presentVerification({
    object: 'verification_otp',
    status: codeStatusAt(code, now),
    strategy,
    attempts: code.attempts,
    expire_at: code.expiresAt.getTime(),
  })
}
