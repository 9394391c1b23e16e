import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import { findUsers, getUser } from '../users/index.ts'
import { createOneTimeToken, type OneTimeToken, revokeOneTimeToken } from '../verifications/index.ts'

/** Who acts for somebody else: `sub` is the id of a user of the instance, or a name that the application gives. */
export type SessionActor = { sub: string; iss?: string } & Record<string, unknown>

export type ActorTokenInput = {
  /** Whom to act for. */
  userId: string
  actor: SessionActor
  /** Seconds in which the token can be redeemed. Default: an hour. */
  expiresInSeconds?: number | undefined
  /** Seconds that the session may last, 1800 at most, which is also the default. */
  sessionMaxDurationInSeconds?: number | undefined
}

export type ActorToken = {
  id: string
  userId: string
  actor: SessionActor
  status: 'pending' | 'accepted' | 'revoked'
  createdAt: Date
  updatedAt: Date
}

const hourSeconds = 3600
const maxSessionSeconds = 1800
const maxActorBytes = 1024

/**
 * Makes a token with which somebody signs in for somebody else, once. Their session says who they are, lasts half an
 * hour at most and may not touch what the account is protected with.
 *
 * @throws {UsherError} `resource_not_found` or `form_param_value_invalid` (an actor who is nobody, is banned, is the
 *   person themselves or acts for another already)
 */
export async function createActorToken(
  ctx: Ctx | Tx,
  input: ActorTokenInput,
): Promise<{ actorToken: ActorToken; token: string }> {
  return transaction(ctx, async (tx) => {
    const { actor } = input
    const user = await getUser(tx, input.userId)
    await checkActor(tx, user.id, actor)
    const now = tx.now()
    const seconds = Math.min(input.sessionMaxDurationInSeconds ?? maxSessionSeconds, maxSessionSeconds)
    const { id, token } = await createOneTimeToken(tx, {
      kind: 'actor_token',
      subjectId: user.id,
      payload: { actor, session_max_duration_in_seconds: seconds },
      expiresAt: new Date(now.getTime() + (input.expiresInSeconds ?? hourSeconds) * 1000),
    })
    const data = { user_id: user.id, actor_sub: actor.sub }
    emit(tx, { type: 'actorToken.created', subject: id, data })
    return { actorToken: { id, userId: user.id, actor, status: 'pending', createdAt: now, updatedAt: now }, token }
  })
}

async function checkActor(tx: Tx, userId: string, actor: SessionActor): Promise<void> {
  const invalid = (message: string) => new UsherError('form_param_value_invalid', message, { param: 'actor' })
  if (typeof actor.sub !== 'string' || actor.sub === '' || actor.sub.length > 255)
    throw invalid('An actor has a "sub".')
  // One acts for another, not for somebody who acts for somebody.
  if ('act' in actor) throw invalid('An actor cannot act for another actor.')
  if (Buffer.byteLength(JSON.stringify(actor)) > maxActorBytes) throw invalid('The actor is too large.')
  if (actor.sub === userId) throw invalid('Nobody acts for themselves.')
  if (!actor.sub.startsWith('user_')) return
  const [known] = await findUsers(tx, [actor.sub])
  if (!known || known.banned) throw invalid('There is no such user who could act for another.')
}

/** Makes an unused token worthless. @throws {UsherError} `resource_not_found` */
export async function revokeActorToken(ctx: Ctx | Tx, id: string): Promise<ActorToken> {
  return transaction(ctx, async (tx) => {
    const revoked = await revokeOneTimeToken(tx, 'actor_token', id)
    const { actor } = readActorToken(revoked)
    const data = { user_id: revoked.subjectId, actor_sub: actor.sub }
    emit(tx, { type: 'actorToken.revoked', subject: id, data })
    const { subjectId: userId, createdAt } = revoked
    return { id, userId, actor, status: 'revoked', createdAt, updatedAt: tx.now() }
  })
}

/** What a token of this kind says about the session that it opens. */
export function readActorToken({ payload }: OneTimeToken): { actor: SessionActor; maximumLifetime: number } {
  const seconds = Number(payload.session_max_duration_in_seconds)
  return {
    actor: payload.actor as SessionActor,
    maximumLifetime: Math.min(seconds || maxSessionSeconds, maxSessionSeconds),
  }
}
