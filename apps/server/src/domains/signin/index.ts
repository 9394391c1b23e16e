export { acceptTicket } from './accept-ticket.ts'
export { attemptFirstFactor } from './attempt-first-factor.ts'
export { type CreateSignInInput, createSignIn } from './create-sign-in.ts'
export { prepareFirstFactor } from './prepare-first-factor.ts'
export {
  type FirstFactor,
  findSignIn,
  firstFactorsOf,
  getSignIn,
  type SignIn,
  type SignInOutcome,
  type SignInRecord,
} from './queries.ts'
export { resetPassword } from './reset-password.ts'
