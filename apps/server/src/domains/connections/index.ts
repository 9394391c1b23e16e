export type { ExternalAccountProfile as ExternalProfile } from '../users/index.ts'
