export {
  type BackupCodes,
  createBackupCodes,
  importBackupCodes,
  removeBackupCodes,
  useBackupCode,
} from './backup-codes.ts'
export { isBreached, useBreachedPasswords } from './breached.ts'
export { disableSecondFactors } from './disable-second-factors.ts'
export { useHashCost } from './hash-cost.ts'
export { areHashesWaiting } from './hash-queue.ts'
export { checkDigest, hasherNames } from './hashers.ts'
export {
  type PasskeyRequest,
  passkeyRequestOptions,
  type RelyingParty,
  type VerifiedPasskey,
  verifyPasskey,
} from './passkeys.ts'
export {
  checkPasswordRules,
  findPassword,
  findPasswordByIdentifier,
  fitsPassword,
  hashPassword,
  removePassword,
  type StoredPassword,
  setImportedPassword,
  setPassword,
  setPasswordCompromised,
  setPasswordHash,
  upgradePassword,
  verifyPassword,
} from './passwords.ts'
export { changePhoneSecondFactor, removePhoneNumber } from './phone-second-factor.ts'
export {
  confirmPasskey,
  type PasskeyRegistration,
  removePasskey,
  renamePasskey,
  startPasskey,
} from './register-passkey.ts'
export { type SecondFactor, secondFactorsOf } from './second-factors.ts'
export { confirmTotp, importTotp, type NewTotp, removeTotp, startTotp, type Totp, verifyTotp } from './totp.ts'
