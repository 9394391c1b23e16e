import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { emit } from '../events/index.ts'
import {
  consumeOneTimeToken,
  createOneTimeToken,
  findOneTimeToken,
  type OneTimeToken,
  revokeTokensOf,
} from '../verifications/index.ts'
import { findSessionState, type SessionState } from './session-state.ts'
import { isSignedIn } from './session-status.ts'
import { mintSessionToken, verifySessionToken } from './session-token.ts'

/** A page asks for several things at once, each with the value that the page was loaded with. */
const graceMs = 30_000

/**
 * Makes a value with which the application's server gets the next token of a session on its own. It is good for one
 * use; the use gives the next one.
 */
export async function createRefreshToken(ctx: Ctx | Tx, session: SessionState): Promise<string> {
  const { token } = await transaction(ctx, (tx) =>
    createOneTimeToken(tx, { kind: 'refresh', subjectId: session.id, expiresAt: session.expireAt }),
  )
  return token
}

export type RefreshInput = {
  sessionId: string
  refreshToken: unknown
  /** The token that ran out: its session is the one that is asked for, and its organization stays. */
  expiredToken: unknown
  /** Origin of the request that brought both. */
  requestOrigin?: string | undefined
}

/**
 * Gives the application's server a new session token for the browser that it is answering. Only both cookies of one
 * session together are worth something, and only while that session is alive.
 *
 * A value that comes back later than parallel requests would bring it was copied: then no value of this session is
 * good any more, and the browser has to come by itself.
 *
 * @returns `refreshToken` is undefined when a parallel request got the next one
 * @throws {UsherError} `refresh_token_invalid`, `refresh_token_used`, `authentication_invalid` or `signed_out`
 */
export async function refreshSession(
  ctx: Ctx,
  input: RefreshInput,
): Promise<{ token: string; refreshToken: string | undefined }> {
  const { sessionId, refreshToken, requestOrigin } = input
  const claims = await verifySessionToken(ctx, input.expiredToken, { expired: true })
  if (claims.sid !== sessionId || (claims.azp && requestOrigin && claims.azp !== requestOrigin))
    throw new UsherError('authentication_invalid', 'This token is of another session or application.')
  const session = await findSessionState(ctx, sessionId)
  if (!session || !isSignedIn(session, ctx.now())) throw new UsherError('signed_out', 'This session has ended.')

  const spent = await transaction(ctx, (tx) => spend(tx, session, refreshToken))
  if (spent === 'invalid') throw new UsherError('refresh_token_invalid', 'This refresh token is not valid.')
  if (spent === 'reused') throw new UsherError('refresh_token_used', 'This refresh token was used before.')
  const wanted = claims.o?.id ?? null
  const stillMember = session.memberships.some((m) => m.organizationId === wanted)
  const organizationId = wanted === null || stillMember ? wanted : undefined
  const token = await mintSessionToken(ctx, session, { organizationId, azp: claims.azp ?? requestOrigin })
  return { token, refreshToken: spent.next }
}

type Spent = 'invalid' | 'reused' | { next: string | undefined }

/** Refusals are returned and not thrown: what a reuse takes away has to stay away. */
async function spend(tx: Tx, session: SessionState, value: unknown): Promise<Spent> {
  const found = await findOneTimeToken(tx, 'refresh', value)
  if (!found || found.subjectId !== session.id || found.revokedAt || found.expiresAt <= tx.now()) return 'invalid'
  try {
    if (found.consumedAt === null) {
      await consumeOneTimeToken(tx, 'refresh', value)
      return { next: await createRefreshToken(tx, session) }
    }
  } catch (error) {
    // A parallel request was first.
    if (error instanceof UsherError && error.code === 'token_used') return { next: undefined }
    throw error
  }
  return judgeReuse(tx, session, found)
}

async function judgeReuse(tx: Tx, session: SessionState, { consumedAt }: OneTimeToken): Promise<Spent> {
  if (consumedAt !== null && tx.now().getTime() - consumedAt.getTime() <= graceMs) return { next: undefined }
  await revokeTokensOf(tx, 'refresh', session.id)
  const data = { session_id: session.id, user_id: session.userId, client_id: session.clientId }
  emit(tx, { type: 'session.refreshTokenReused', subject: session.id, data })
  return 'reused'
}
