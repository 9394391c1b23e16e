export { acceptTicket } from './accept-ticket.ts'
export { type AttemptFirstFactorInput, attemptFirstFactor } from './attempt-first-factor.ts'
export { checkCurrentPassword } from './check-current-password.ts'
export { completeFirstFactor, completeSignIn, type FirstFactorProof } from './complete-sign-in.ts'
export { type CreateSignInInput, createSignIn, refuseSignedIn } from './create-sign-in.ts'
export { deleteOverSignIns } from './delete-over.ts'
export { followEmailLink, type LinkOutcome, openEmailLink } from './email-link.ts'
export { type FirstFactor, type FurtherFactor, furtherFactorsOf } from './factors.ts'
export { noteFailure } from './note-failure.ts'
export {
  beginSocialSignIn,
  findOwner,
  finishSocialSignIn,
  type RoundTripRequest,
  takeTransfer,
  tellOfLink,
  transferToSignIn,
} from './oauth.ts'
export { openFactorsOf, type PrepareFirstFactorInput, prepareFirstFactor } from './prepare-first-factor.ts'
export { findSignIn, getSignIn, type SignIn, type SignInOutcome, type SignInRecord } from './queries.ts'
export { resetPassword } from './reset-password.ts'
export {
  type AttemptAgain,
  againFactorsOf,
  attemptAgain,
  type PrepareAgain,
  prepareAgain,
  type SessionVerification,
  startVerification,
  type VerificationLevel,
} from './reverification.ts'
export { attemptSecondFactor, prepareSecondFactor } from './second-factor.ts'
