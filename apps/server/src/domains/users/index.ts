export { type CreateUserInput, createUser } from './create-user.ts'
export {
  addEmailAddress,
  deleteEmailAddress,
  getEmailAddress,
  isGmailboxTaken,
  replaceEmailAddresses,
  unverifyEmailAddress,
  verifyEmailAddress,
} from './email-addresses.ts'
export {
  beginExternalAccount,
  type ExternalAccountProfile,
  failExternalAccount,
  forgetExternalTokens,
  getExternalAccount,
  keepExternalTokens,
  linkExternalAccount,
  unlinkExternalAccount,
} from './external-accounts.ts'
export { findMatches, isAnyOf, searchCondition, type UserSearch } from './find-matches.ts'
export { registerUserHooks, type UserHooks } from './hooks.ts'
export {
  conditionOf as userCondition,
  countUsers,
  type ListUsersInput,
  listUsers,
  type UserFilter,
} from './list-users.ts'
export {
  clearFailedAttempts,
  isLocked,
  lockUser,
  noteFailedAttempt,
  noteSignIn,
  refuseLocked,
  refuseUnwelcome,
  unlockUser,
} from './lockout.ts'
export { checkMetadataSize, mergeMetadata } from './metadata.ts'
export { isTestPhoneNumber, parsePhoneNumber } from './phone-number.ts'
export {
  addPhoneNumber,
  deletePhoneNumber,
  getPhoneNumber,
  type PhoneSecondFactorChange,
  replacePhoneNumbers,
  setPhoneSecondFactor,
  setPrimaryPhoneNumber,
  unverifyPhoneNumber,
  verifyPhoneNumber,
} from './phone-numbers.ts'
export {
  type EmailAddress,
  type ExternalAccount,
  findUserByEmail,
  findUserByExternalAccount,
  findUserByIdentifier,
  findUserByPhone,
  findUserByUsername,
  findUsers,
  getUser,
  type Identifier,
  identifierOf,
  isProvenBy,
  type PasskeySummary,
  type PhoneNumber,
  provenNames,
  type User,
  type UserRecord,
} from './queries.ts'
export { noteSecondFactors } from './second-factors.ts'
export type { VerifiedBy } from './tables.ts'
export {
  deleteUser,
  type MetadataChange,
  mergeUserMetadata,
  setPrimaryEmailAddress,
  type UpdateUserInput,
  updateUser,
} from './update-user.ts'
export { checkUsername } from './username.ts'
