import { z } from 'zod'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { accessByRules, findStanding, ownerOf, versionOf } from './access.ts'
import type { Access } from './connection.ts'
import { DocId } from './doc-id.ts'
import { longestLifetimeSeconds, signSyncToken } from './sync-token.ts'

export type SyncToken = { token: string; docId: string; access: Access; expiresAt: Date }

export const SessionSyncTokenInput = z.strictObject({
  docId: DocId,
  /** Of the page that asks: the token is for its sockets, and for programs. */
  origin: z.string().max(2048).optional(),
})
export type SessionSyncTokenInput = z.infer<typeof SessionSyncTokenInput>

/**
 * A token for one document, for the person in the browser: as much as the owner of the document and the rules in the
 * instance's settings allow at this moment.
 *
 * @throws {UsherError} `authentication_invalid` without a session, `sync_access_denied` without a right
 */
export async function createSyncTokenForSession(
  ctx: Ctx,
  { docId, origin }: SessionSyncTokenInput,
): Promise<SyncToken> {
  const { actor, instance } = ctx
  if (actor.type !== 'user') throw new UsherError('authentication_invalid', 'Sign in to open a document.')
  const { userId, sessionId } = actor
  const standing = await findStanding(ctx, { docId, userId, sessionId })
  if (!standing.isSignedIn) throw new UsherError('authentication_invalid', 'This session has ended.')
  const access = accessByRules(instance.settings.sync.rules, docId, standing)
  if (!access) throw new UsherError('sync_access_denied', 'You may not open this document.')
  const organizationId = standing.membership?.organizationId
  const permissionVersion = versionOf(standing)
  const claims = {
    room: docId,
    access,
    userId,
    grantedBy: 'session' as const,
    sessionId,
    organizationId,
    permissionVersion,
    origin,
  }
  const { token, expiresAt } = await signSyncToken(instance, claims, ctx.now(), instance.settings.sync.tokenLifetime)
  return { token, docId, access, expiresAt }
}

export const BackendSyncTokenInput = z.strictObject({
  docId: DocId,
  userId: z.string().min(1).max(64),
  /** Ends the connection with this session. */
  sessionId: z.string().min(1).max(64).optional(),
  access: z.enum(['read', 'write']),
  expiresInSeconds: z.number().int().min(10).max(longestLifetimeSeconds).optional(),
})
export type BackendSyncTokenInput = z.infer<typeof BackendSyncTokenInput>

/**
 * A token for one document, as the application's own server decides. Any document id, but only for a person whom the
 * instance knows.
 *
 * @throws {UsherError} `forbidden` for anybody else, `resource_not_found` for an unknown person
 */
export async function createSyncTokenForBackend(ctx: Ctx, input: BackendSyncTokenInput): Promise<SyncToken> {
  if (ctx.actor.type !== 'backend') throw new UsherError('forbidden', 'Only the application’s server may do this.')
  const { docId, userId, access, sessionId } = input
  const standing = await findStanding(ctx, { docId, userId, sessionId })
  if (!standing.isSignedIn)
    throw new UsherError('resource_not_found', 'There is no such user with such a session, or it is banned.')
  const owner = ownerOf(docId)
  const organizationId = owner?.type === 'organization' ? owner.id : undefined
  const permissionVersion = versionOf(standing)
  const claims = {
    room: docId,
    access,
    userId,
    grantedBy: 'backend' as const,
    sessionId,
    organizationId,
    permissionVersion,
  }
  const lifetime = input.expiresInSeconds ?? ctx.instance.settings.sync.tokenLifetime
  const { token, expiresAt } = await signSyncToken(ctx.instance, claims, ctx.now(), lifetime)
  return { token, docId, access, expiresAt }
}
