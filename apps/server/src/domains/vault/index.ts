export {
  type DocumentKeyRing,
  getDocumentKeys,
  giveDocumentKeys,
  refuseDocumentKey,
  rotateDocumentKey,
} from './document-keys.ts'
export {
  Epoch,
  KeyGrants,
  KeyHash,
  KeyRecord,
  PairingId,
  PairingValue,
  SealedUserKey,
  Signature,
  VaultKeys,
  VaultVersion,
  VaultWrap,
  WrapName,
} from './inputs.ts'
export { findDocumentReaders, type VaultDocumentState } from './inspect.ts'
export { VaultKeeper } from './keeper.ts'
export {
  confirmUnlock,
  createVault,
  deleteVault,
  deleteWrap,
  findVault,
  getVault,
  maxWraps,
  setWrap,
  takeWrap,
  type Vault,
} from './own-vault.ts'
export { advancePairing, createPairing, getPairing, type Pairing, takePairing } from './pairings.ts'
export type { Reader } from './readers.ts'
export { withdrawKeys } from './withdraw-keys.ts'
