export { deleteOverMachineTokens } from './delete-over.ts'
export {
  type CreateM2mTokenInput,
  createM2mToken,
  listM2mTokens,
  type M2mToken,
  maxJwtTtl,
  revokeM2mToken,
} from './m2m-tokens.ts'
export {
  createMachine,
  deleteMachine,
  getMachine,
  listMachines,
  type Machine,
  type MachineOrder,
  updateMachine,
} from './manage-machines.ts'
export { createScope, deleteScope, type MachineScope, type ScopeInput } from './scopes.ts'
export { findMachineBySecretKey, getSecretKey, rotateSecretKey } from './secret-keys.ts'
export { verifyM2mToken } from './verify-m2m-token.ts'
