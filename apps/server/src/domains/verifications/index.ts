export { type CheckCodeInput, checkCode } from './check-code.ts'
export { deleteOverVerifications } from './delete-over.ts'
export { parseEmailAddress } from './email-address.ts'
export {
  type EmailLink,
  type EmailLinkState,
  findEmailLinkState,
  readEmailLink,
  sendEmailLink,
  useEmailLink,
} from './email-links.ts'
export {
  consumeOneTimeToken,
  consumeOneTimeTokenById,
  createOneTimeToken,
  findOneTimeToken,
  findTicket,
  type OneTimeToken,
  type OneTimeTokenKind,
  revokeOneTimeToken,
  revokeTokensOf,
} from './one-time-tokens.ts'
export {
  type CodePurpose,
  type CodeState,
  type CodeStatus,
  codeStatusAt,
  findCode,
  type SendCodeInput,
  sendCode,
  testCode,
} from './send-code.ts'

/** Why a verification failed, as the components show it. */
export type VerificationError = {
  code: string
  message: string
  long_message?: string
  meta?: Record<string, unknown>
}
