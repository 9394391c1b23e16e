import { and, eq } from 'drizzle-orm'
import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { hashToken } from '../../kernel/secrets.ts'
import { issuerOf, openJwt } from '../sessions/index.ts'
import { type M2mToken, m2mClass, withScopes } from './m2m-tokens.ts'
import { m2mTokens } from './tables.ts'

/**
 * Whose token somebody was shown.
 *
 * A machine gets an answer only for tokens of machines that may talk to it at this moment. The application, which set
 * these scopes, gets one for each token of the instance. Everything else looks as if the token did not exist: unknown,
 * revoked, run out, of another instance or for another machine.
 *
 * @throws {UsherError} `resource_not_found`
 */
export async function verifyM2mToken(ctx: Ctx | Tx, token: string): Promise<M2mToken> {
  const { actor } = ctx
  const refuse = () => new UsherError('resource_not_found', 'There is no such token.')
  return transaction(ctx, async (tx) => {
    const jwt = token.startsWith('mt_') ? undefined : await openM2mJwt(tx, token)
    if (jwt === undefined && !/^mt_[0-9A-Za-z]{43}$/.test(token)) throw refuse()
    const [row] = await tx.db
      .select()
      .from(m2mTokens)
      .where(
        jwt
          ? and(eq(m2mTokens.id, jwt.jti), eq(m2mTokens.machineId, jwt.sub), eq(m2mTokens.format, 'jwt'))
          : eq(m2mTokens.tokenHash, hashToken(token)),
      )
    if (!row || row.revokedAt !== null) throw refuse()
    const found = await withScopes(tx, row)
    if (found.expired) throw refuse()
    if (actor.type === 'backend') return found
    if (actor.type !== 'machine' || !found.scopes.includes(actor.machineId)) throw refuse()
    // A JWT says for whom it was made: a scope of later times does not widen it.
    if (jwt && !jwt.aud.includes(actor.machineId)) throw refuse()
    return found
  })
}

/** What a JWT of this instance's machines says, if it is one. */
async function openM2mJwt(tx: Tx, token: string): Promise<{ jti: string; sub: string; aud: string[] } | undefined> {
  const claims = await openJwt(tx.instance, token, m2mClass)
  if (!claims || claims.iss !== issuerOf(tx.instance)) return undefined
  const { jti, sub, aud } = claims
  return typeof jti === 'string' && typeof sub === 'string' && Array.isArray(aud) ? { jti, sub, aud } : undefined
}
