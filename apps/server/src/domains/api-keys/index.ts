export { type CreateApiKeyInput, createApiKey } from './create-api-key.ts'
export { deleteOverApiKeys } from './delete-over.ts'
export {
  deleteApiKey,
  getApiKey,
  getApiKeySecret,
  type ListApiKeysInput,
  listApiKeys,
  revokeApiKey,
  type UpdateApiKeyInput,
  updateApiKey,
} from './manage-api-keys.ts'
export { type ApiKey, findApiKeys } from './queries.ts'
export { verifyApiKey } from './verify-api-key.ts'
