export {
  checkPasswordRules,
  hashPassword,
  removePassword,
  setPassword,
  setPasswordHash,
  verifyPassword,
} from './passwords.ts'
