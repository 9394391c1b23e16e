export { createSignUp, type ProvenIdentity, type SignUpFields, updateSignUp } from './create-sign-up.ts'
export { deleteOverSignUps } from './delete-over.ts'
export {
  createInvitation,
  type Invitation,
  listInvitations,
  revokeInvitation,
} from './invitations.ts'
export { type AnnotateSignUpInput, annotateSignUp, readSignUp } from './manage-sign-ups.ts'
export { beginSocialSignUp, finishSocialSignUp, type SocialSignUpRequest } from './oauth.ts'
export { findSignUp, getSignUp, requirementsOf, type SignUp, type SignUpOutcome, type SignUpRecord } from './queries.ts'
export { getTicket, spendTicket, type Ticket } from './tickets.ts'
export { attemptSignUpVerification, prepareSignUpVerification, provenSignUpAddress } from './verify-sign-up.ts'
export {
  completeWaitlistEntry,
  deleteWaitlistEntry,
  inviteFromWaitlist,
  joinWaitlist,
  listWaitlist,
  rejectFromWaitlist,
  type WaitlistEntry,
  type WaitlistRecord,
} from './waitlist.ts'
