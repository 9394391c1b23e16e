import type { WebhookEndpoint } from '../../domains/webhooks/index.ts'

/** An endpoint without its secret. */
export function presentWebhookEndpoint(endpoint: WebhookEndpoint) {
  return {
    object: 'webhook_endpoint' as const,
    id: endpoint.id,
    url: endpoint.url,
    description: endpoint.description,
    event_types: endpoint.eventTypes ?? [],
    disabled: endpoint.disabledAt !== null,
    disabled_at: endpoint.disabledAt?.getTime() ?? null,
    disabled_reason: endpoint.disabledReason,
    failing_since: endpoint.failingSince?.getTime() ?? null,
    paused_until: endpoint.pausedUntil?.getTime() ?? null,
    cursor: endpoint.cursor,
    created_at: endpoint.createdAt.getTime(),
    updated_at: endpoint.updatedAt.getTime(),
  }
}
