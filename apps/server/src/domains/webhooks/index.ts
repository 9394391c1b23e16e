export {
  type Delivery,
  deleteOldDeliveries,
  type ListDeliveriesInput,
  listDeliveries,
  type ReplayInput,
  replayWebhooks,
} from './deliveries.ts'
export { WebhookDispatcher } from './dispatcher.ts'
export { isWebhookEvent, type WebhookEventType, webhookEventTypes } from './event-types.ts'
export { findSubjects, isSubjectKind, type SubjectKind, type Subjects } from './find-subjects.ts'
export {
  createWebhookEndpoint,
  deleteWebhookEndpoint,
  type EndpointInput,
  findWebhookEndpoints,
  getWebhookEndpoint,
  getWebhookSecret,
  listWebhookEndpoints,
  rotateWebhookSecret,
  updateWebhookEndpoint,
  type WebhookEndpoint,
} from './manage-endpoints.ts'
export {
  closeAllPortals,
  closePortal,
  createPortalLink,
  deleteOverPortalSessions,
  findPortalSession,
  openPortal,
  type PortalSession,
} from './portal.ts'
export { createPost, type Post } from './post.ts'
export { sendTestWebhook } from './send-test.ts'
export { messageIdOf, type PresentEvents } from './stream-reader.ts'
