import { type Tx, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { newToken, parseKeyring, seal, unseal } from '../../kernel/secrets.ts'
import { consumeOneTimeToken, createOneTimeToken } from '../verifications/index.ts'
import { signJwt } from './sign-jwt.ts'

/** Complete `Set-Cookie` values that the application's server hands to its browser. */
export type HandshakeInput = { directives: string[]; format: 'nonce' | 'jwt' }

/** A redirect later the application's server asks for it; longer it need not live. */
const nonceTtlMs = 60_000
const purpose = 'handshake'

/**
 * Packs cookies for an application that this server cannot set cookies for.
 *
 * As a nonce they wait in the database, sealed with the nonce itself: who reads the table has neither. As a token they
 * travel signed; it has no subject, no session and no class, so it passes for nothing else.
 *
 * @returns the value to redirect with
 */
export async function createHandshake(ctx: Ctx | Tx, input: HandshakeInput): Promise<string> {
  if (input.format === 'jwt') return signJwt(ctx.instance, { typ: 'JWT' }, { handshake: input.directives })
  const nonce = newToken()
  const sealed = seal(parseKeyring(nonce), purpose, JSON.stringify(input.directives))
  await transaction(ctx, (tx) =>
    createOneTimeToken(tx, {
      kind: 'handshake',
      subjectId: tx.instance.id,
      payload: { sealed },
      expiresAt: new Date(tx.now().getTime() + nonceTtlMs),
      token: nonce,
    }),
  )
  return nonce
}

/**
 * Hands out the cookies behind a nonce, once.
 *
 * @throws {UsherError} `ticket_invalid`, `ticket_expired` or `token_used`
 */
export async function takeHandshakeDirectives(ctx: Ctx | Tx, nonce: unknown): Promise<string[]> {
  return transaction(ctx, async (tx) => {
    const { payload } = await consumeOneTimeToken(tx, 'handshake', nonce)
    return JSON.parse(unseal(parseKeyring(String(nonce)), purpose, String(payload.sealed)))
  })
}
