import type { ChannelPrincipal } from '../../domains/channels/index.ts'

/** Whether a new credential may take the place of another: the same person's, and for the same document. */
export function isSamePerson(a: ChannelPrincipal | undefined, b: ChannelPrincipal): boolean {
  if (!a || a.instanceId !== b.instanceId || a.kind !== b.kind) return false
  if (a.kind === 'document' && b.kind === 'document' && a.docId !== b.docId) return false
  return userOf(a) === userOf(b)
}

/** What somebody's place rests on, beside the channels that they are in. */
export function idsOf(principal: Exclude<ChannelPrincipal, { kind: 'backend' }>): (string | undefined)[] {
  if (principal.kind === 'session') return [principal.userId, principal.sessionId]
  if (principal.kind === 'external') return [principal.userId]
  const { userId, sessionId, organizationId } = principal.principal
  return [userId, sessionId, organizationId]
}

/** Null: the application's server. */
export const userOf = (principal: ChannelPrincipal) => (principal.kind === 'backend' ? null : principal.userId)
