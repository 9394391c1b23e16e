export type { Instance, SigningKey } from './instance.ts'
export { cookieSuffixFor, publishableKeyFor } from './publishable-key.ts'
export { InstanceRegistry, type InstanceSummary } from './registry.ts'
export { InstanceSettings, SyncRule } from './settings.ts'
