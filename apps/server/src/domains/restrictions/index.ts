export { isDisposableDomain } from './disposable.ts'
export {
  addAllowlistIdentifier,
  addBlocklistIdentifier,
  type ListedIdentifier,
  listAllowlistIdentifiers,
  listBlocklistIdentifiers,
  removeAllowlistIdentifier,
  removeBlocklistIdentifier,
} from './lists.ts'
export { checkMayHave, checkMaySignIn, isAllowlisted, mayTakeAddress } from './policy.ts'
