import { transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { seal, unseal } from '../../kernel/secrets.ts'
import { type ExternalAccount, keepExternalTokens } from '../users/index.ts'
import { parseJson, refreshTokens, resolveProvider } from './ask-provider.ts'
import type { Claims } from './providers.ts'

type Kept = { access_token: string; refresh_token?: string; id_token?: string }
type Sealed = { sealedTokens: string; tokensExpireAt: string | null }

/** An access token that is over within this time is renewed before it is handed out. */
const renewEarlyMs = 60_000

const purpose = (ctx: Ctx) => `external_tokens:${ctx.instance.id}`

/**
 * Seals what a provider's token endpoint answered.
 *
 * @param before the tokens that were kept until now: most providers send a refresh token the first time alone
 */
export function sealTokens(ctx: Ctx, answer: Claims, before?: { sealedTokens: string | null }): Sealed {
  const held = before && open(ctx, before)
  const kept = {
    access_token: answer.access_token,
    refresh_token: answer.refresh_token ?? held?.refresh_token,
    id_token: answer.id_token ?? held?.id_token,
  }
  const seconds = Number(answer.expires_in)
  const expiresAt = new Date(ctx.now().getTime() + seconds * 1000)
  return {
    sealedTokens: seal(ctx.database.keyring, purpose(ctx), JSON.stringify(kept)),
    tokensExpireAt: seconds > 0 && !Number.isNaN(expiresAt.getTime()) ? expiresAt.toISOString() : null,
  }
}

function open(ctx: Ctx, { sealedTokens }: { sealedTokens: string | null }): Kept | undefined {
  const kept = sealedTokens === null ? undefined : parseJson(unseal(ctx.database.keyring, purpose(ctx), sealedTokens))
  return typeof kept?.access_token === 'string' ? (kept as Kept) : undefined
}

export type ExternalTokens = { accessToken: string; idToken: string | null; expiresAt: Date | null }

/**
 * A provider's tokens for the application to use, renewed when they are over and the provider gave means to do so.
 * What cannot be renewed is handed out as it is: the application sees by its time that it is over.
 *
 * @returns undefined where none are kept
 */
export async function openExternalTokens(ctx: Ctx, account: ExternalAccount): Promise<ExternalTokens | undefined> {
  const kept = open(ctx, account)
  if (!kept) return undefined
  const { tokensExpireAt } = account
  const isOver = tokensExpireAt !== null && tokensExpireAt.getTime() - ctx.now().getTime() < renewEarlyMs
  const renewed = isOver && kept.refresh_token ? await renew(ctx, account, kept.refresh_token) : undefined
  const tokens = renewed ? open(ctx, renewed) : kept
  if (!tokens) return undefined
  return {
    accessToken: tokens.access_token,
    idToken: tokens.id_token ?? null,
    expiresAt: renewed ? renewed.tokensExpireAt : tokensExpireAt,
  }
}

async function renew(ctx: Ctx, account: ExternalAccount, refreshToken: string): Promise<ExternalAccount | undefined> {
  const connection = ctx.instance.connections.find((c) => c.provider.key === account.provider)
  if (!connection?.enabled || !connection.credentials) return undefined
  try {
    const answer = await refreshTokens(ctx, await resolveProvider(ctx, connection, ''), refreshToken)
    const tokens = sealTokens(ctx, answer, account)
    return await transaction(ctx, (tx) => keepExternalTokens(tx, { id: account.id, ...tokens }))
  } catch (error) {
    const code = error instanceof UsherError ? error.code : undefined
    ctx.log.info({ err: code ?? error, provider: account.provider }, 'the tokens of a provider were not renewed')
    return undefined
  }
}
