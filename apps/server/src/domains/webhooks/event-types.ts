import { UsherError } from '../../kernel/errors.ts'

/** What webhooks tell, each with what it is about. */
export const webhookEventTypes = {
  'user.created': 'Somebody has an account',
  'user.updated': 'An account changed, its addresses and factors included',
  'user.deleted': 'An account is gone',
  'session.created': 'Somebody signed in',
  'session.ended': 'Somebody signed out',
  'session.removed': 'A session was taken off its browser',
  'session.revoked': 'A session was ended from elsewhere',
  'organization.created': 'There is a new organization',
  'organization.updated': 'An organization changed',
  'organization.deleted': 'An organization is gone',
  'organizationMembership.created': 'Somebody became a member',
  'organizationMembership.updated': 'A member has another role or other metadata',
  'organizationMembership.deleted': 'Somebody is a member no more',
  'organizationInvitation.created': 'Somebody was invited to an organization',
  'organizationInvitation.accepted': 'An invitation to an organization was accepted',
  'organizationInvitation.revoked': 'An invitation to an organization was taken back',
  'organizationDomain.created': 'An organization has a new email domain',
  'organizationDomain.updated': 'An email domain changed, e.g. it was proven',
  'organizationDomain.deleted': 'An email domain is gone',
  'role.created': 'There is a new role',
  'role.updated': 'A role changed, its permissions included',
  'role.deleted': 'A role is gone',
  'permission.created': 'There is a new permission',
  'permission.updated': 'A permission changed',
  'permission.deleted': 'A permission is gone',
  'apiKey.created': 'Somebody has a new API key',
  'apiKey.updated': 'An API key has other scopes, claims or another end',
  'apiKey.revoked': 'An API key was revoked',
  'apiKey.deleted': 'An API key is gone',
  'waitlistEntry.created': 'Somebody asked to be let in',
  'waitlistEntry.updated': 'Somebody on the waitlist was invited or turned down',
  'email.created': 'An email was written',
  'sms.created': 'A text message was written',
  'webhookEndpoint.disabled': 'An endpoint gets no more deliveries, because it failed for too long',
} as const
export type WebhookEventType = keyof typeof webhookEventTypes

export function isWebhookEvent(type: string): type is WebhookEventType {
  return Object.hasOwn(webhookEventTypes, type)
}

/** Whether an endpoint that wants `wanted` gets a type. Null: it wants everything. */
export function wants(wanted: readonly string[] | null, type: string): boolean {
  if (!isWebhookEvent(type)) return false
  return wanted === null || wanted.includes(type) || wanted.includes(`${type.split('.', 1)[0]}.*`)
}

/** @throws {UsherError} `form_param_value_invalid` for a type that there is not */
export function checkEventTypes(types: readonly string[] | null): string[] | null {
  if (types === null || types.length === 0) return null
  const all = Object.keys(webhookEventTypes)
  for (const type of types) {
    const known = type.endsWith('.*') ? all.some((t) => t.startsWith(type.slice(0, -1))) : isWebhookEvent(type)
    if (!known)
      throw new UsherError('form_param_value_invalid', 'There is no such type of event.', { param: 'event_types' })
  }
  return [...new Set(types)]
}
