export { ChannelRule, ChannelType } from './channel-types.ts'
export { addDomain, type Domain, deleteDomain, listDomains, updateDomain } from './domains.ts'
export type { Instance, SigningKey } from './instance.ts'
export { cookieSuffixFor, publishableKeyFor } from './publishable-key.ts'
export {
  createRedirectUrl,
  deleteRedirectUrl,
  getRedirectUrl,
  isListedRedirectUrl,
  listRedirectUrls,
  type RedirectUrl,
} from './redirect-urls.ts'
export { InstanceRegistry, type InstanceSummary } from './registry.ts'
export { lockStoredSettings, replaceStoredSettings } from './replace-settings.ts'
export type { RotateInput, Rotation } from './rotate-signing-key.ts'
export {
  completeSettings,
  defaultNames,
  EnrollmentMode,
  InstanceSettings,
  maxSessionClaimsBytes,
  SyncIssuer,
  type SyncIssuerRule,
  SyncRule,
} from './settings.ts'
