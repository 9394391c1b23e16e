import type { Ctx } from '../../kernel/ctx.ts'
import type { UsherEvent } from '../events/index.ts'
import { accessByRules, findStanding, versionOf } from './access.ts'
import type { CloseReason } from './close-codes.ts'
import type { Access, Principal } from './connection.ts'
import { versionOfIssuer } from './external-token.ts'

export type Verdict = { allowed: true; access: Access } | { allowed: false; reason: CloseReason; message: string }

/**
 * What a connection may do at this moment. Asked when it comes in and again whenever something changed that it rests
 * on: a decision of the past is never enough.
 *
 * @param granted the access that its token carries
 */
export async function judgeConnection(
  ctx: Ctx,
  principal: Principal,
  docId: string,
  granted: Access,
): Promise<Verdict> {
  const { kind, userId, sessionId } = principal
  if (!userId) return { allowed: true, access: granted }
  if (kind === 'external') return judgeExternal(ctx, principal, granted)
  const standing = await findStanding(ctx, { docId, userId, sessionId })
  if (!standing.isSignedIn) return { allowed: false, reason: 'revoked', message: 'the session has ended' }
  if (kind === 'session') {
    const access = accessByRules(ctx.instance.settings.sync.rules, docId, standing)
    return access
      ? { allowed: true, access }
      : { allowed: false, reason: 'forbidden', message: 'no right to this document' }
  }
  const version = versionOf(standing)
  if (version === principal.permissionVersion) return { allowed: true, access: granted }
  if (version === 'none') return { allowed: false, reason: 'forbidden', message: 'the membership has ended' }
  // The application's server decided on a role that is no longer this one: it has to decide again.
  return { allowed: false, reason: 'unauthenticated', message: 'the role has changed: get a new token' }
}

/** Nobody tells what an issuer takes back before its token ends; what is said of the issuer here can change. */
function judgeExternal({ instance }: Ctx, { userId, permissionVersion }: Principal, granted: Access): Verdict {
  const issuer = instance.settings.sync.issuers.find(({ name }) => userId?.startsWith(`${name}:`))
  if (issuer && versionOfIssuer(issuer) === permissionVersion) return { allowed: true, access: granted }
  return { allowed: false, reason: 'unauthenticated', message: 'the issuer’s rights have changed: get a new token' }
}

/** Kinds of events after which connections are judged again. */
const kinds =
  /^(session|user|organization|organizationMembership|group|groupMembership|featureGrant|feature|role|permission|instance)\./
/** Frequent ones that take nothing from anybody. */
const harmless = /^(session\.(created|touched)|(user|organization|group|role|permission|instance)\.created)$/
/** Events that name no person: they concern everybody in the instance, or in the organization whose own role it is. */
const wide = /^(role|permission|feature|instance)\./

/** Whose connections an event may concern; undefined: nobody's. */
export function changesRights(event: UsherEvent): Set<string> | 'everyone' | undefined {
  if (!kinds.test(event.type) || harmless.test(event.type)) return undefined
  if (wide.test(event.type) && !event.data.organization_id) return 'everyone'
  const ids = new Set([event.subject])
  collectIds(event.data, ids, 0)
  return ids
}

/** The organization whose documents are gone with it, whoever granted access to them. */
export function endedOrganization(event: UsherEvent): string | undefined {
  return event.type === 'organization.deleted' ? event.subject : undefined
}

/** Every id of a user, session or organization in an event: who announces it decides where they stand. */
function collectIds(value: unknown, into: Set<string>, depth: number): void {
  if (typeof value === 'string') {
    if (/^(user|sess|org)_/.test(value)) into.add(value)
  } else if (value && typeof value === 'object' && depth < 4) {
    for (const part of Object.values(value)) collectIds(part, into, depth + 1)
  }
}
