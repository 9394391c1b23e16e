import { and, count, desc, eq, gt, isNotNull, isNull, lte, sql } from 'drizzle-orm'
import { type Tx, takeTurn, transaction } from '../../database/index.ts'
import type { Ctx } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { newId, randomBase62 } from '../../kernel/ids.ts'
import type { Page, Pagination } from '../../kernel/pagination.ts'
import { requireApplication } from '../../kernel/require-application.ts'
import { hashToken, seal, unseal } from '../../kernel/secrets.ts'
import { emit } from '../events/index.ts'
import { issuerOf, signJwt } from '../sessions/index.ts'
import { checkTtl } from './manage-machines.ts'
import { findScopedMachines } from './scopes.ts'
import { m2mTokens, machines } from './tables.ts'

type Row = typeof m2mTokens.$inferSelect
/** A token without what it is proved by. */
export type M2mToken = Omit<Row, 'tokenHash' | 'sealedToken'> & {
  /** Ids of the machines that it may be shown to, at this moment. */
  scopes: string[]
  expired: boolean
}

/** Says in the header that a token is a machine's, so that none passes for a session's. */
export const m2mClass = 'cl_B7d4PD333AAA'
/** Bytes of claims, as JSON: they travel in a header. */
const maxClaimsBytes = 4096
/** Seconds. Where a JWT is verified without asking, nothing but its end ends it. */
export const maxJwtTtl = 24 * 3600
/** Names that say who a token is of and for whom, in whatever kind of token. */
const reservedClaims = new Set([
  ...'iss sub aud exp nbf iat jti scope scopes scp sid sts azp act client_id o v fva per fea pla'.split(' '),
  ...'org_id org_slug org_role org_permissions'.split(' '),
])
const purpose = (machineId: string) => `m2m_token:${machineId}`

export type CreateM2mTokenInput = {
  format?: 'opaque' | 'jwt' | undefined
  /** Absent or null: as long as the machine's tokens usually live. */
  secondsUntilExpiration?: number | null | undefined
  claims?: Record<string, unknown> | null | undefined
  /**
   * One that was made before will do if it has the same claims and lives for so long, and no longer than a new one would.
   * Opaque tokens only.
   */
  minRemainingTtlSeconds?: number | undefined
}

/**
 * Makes a token for the machine that asks.
 *
 * @returns the token's row, and the token
 * @throws {UsherError} `forbidden` for anybody but a machine, `form_param_value_invalid`
 */
export async function createM2mToken(
  ctx: Ctx | Tx,
  input: CreateM2mTokenInput,
): Promise<{ m2mToken: M2mToken; token: string }> {
  const { actor } = ctx
  if (actor.type !== 'machine')
    throw new UsherError('forbidden', 'Tokens of a machine are made with its secret key, not with the application’s.')
  const claims = checkClaims(input.claims ?? null)
  const format = input.format ?? 'opaque'
  return transaction(ctx, async (tx) => {
    // Locked for sharing: a machine that is deleted at this moment has no token left behind.
    const [machine] = await tx.db.select().from(machines).where(eq(machines.id, actor.machineId)).for('share')
    if (!machine) throw new UsherError('authentication_invalid', 'The machine is gone.')
    const ttl = checkTtl(input.secondsUntilExpiration ?? machine.defaultTokenTtl, 'seconds_until_expiration')
    const row = { machineId: machine.id, claims, ttl }
    if (format === 'jwt') return makeJwt(tx, row)
    const { minRemainingTtlSeconds } = input
    if (minRemainingTtlSeconds === undefined) return makeOpaque(tx, row)
    if (minRemainingTtlSeconds >= ttl)
      throw new UsherError('form_param_value_invalid', 'No token would live for so long: it has to be less.', {
        param: 'min_remaining_ttl_seconds',
      })
    return findReusable(tx, { ...row, minRemainingTtlSeconds }).then((known) => known ?? makeOpaque(tx, row, true))
  })
}

type NewToken = { machineId: string; claims: Record<string, unknown> | null; ttl: number }

async function makeOpaque(tx: Tx, { machineId, claims, ttl }: NewToken, reusable = false) {
  const token = `mt_${randomBase62(43)}`
  const [row] = await tx.db
    .insert(m2mTokens)
    .values({
      ...newRow(tx, machineId, claims, ttl),
      format: 'opaque',
      tokenHash: hashToken(token),
      sealedToken: reusable ? seal(tx.database.keyring, purpose(machineId), token) : null,
    })
    .returning()
  return { m2mToken: await withScopes(tx, row as Row), token }
}

async function makeJwt(tx: Tx, { machineId, claims, ttl }: NewToken) {
  if (ttl > maxJwtTtl)
    throw new UsherError('form_param_value_invalid', `A JWT lives ${maxJwtTtl} seconds at most.`, {
      param: 'seconds_until_expiration',
    })
  const values = newRow(tx, machineId, claims, ttl)
  const [row] = await tx.db
    .insert(m2mTokens)
    .values({ ...values, format: 'jwt' })
    .returning()
  const m2mToken = await withScopes(tx, row as Row)
  const iat = Math.floor(values.createdAt.getTime() / 1000)
  const token = await signJwt(
    tx.instance,
    { typ: 'JWT', cat: m2mClass },
    {
      ...claims,
      // Verifiers skip the comparison where nobody is named, so that a token for nobody names the machine itself.
      aud: m2mToken.scopes.length > 0 ? m2mToken.scopes : [machineId],
      exp: iat + ttl,
      iat,
      iss: issuerOf(tx.instance),
      jti: m2mToken.id,
      nbf: iat,
      sub: machineId,
    },
  )
  return { m2mToken, token }
}

function newRow(tx: Tx, machineId: string, claims: Record<string, unknown> | null, ttl: number) {
  const now = tx.now()
  const expiresAt = new Date((Math.floor(now.getTime() / 1000) + ttl) * 1000)
  return {
    id: newId('m2mToken'),
    instanceId: tx.instance.id,
    machineId,
    claims,
    createdAt: now,
    updatedAt: now,
    expiresAt,
  }
}

/** Only tokens that were made to be handed out again can be: of the others the server has a hash. */
async function findReusable(tx: Tx, input: NewToken & { minRemainingTtlSeconds: number }) {
  // Many that ask at once get one token.
  await takeTurn(tx, `m2m tokens of ${input.machineId}`)
  const later = (seconds: number) => new Date(tx.now().getTime() + seconds * 1000)
  const [row] = await tx.db
    .select()
    .from(m2mTokens)
    .where(
      and(
        eq(m2mTokens.machineId, input.machineId),
        isNotNull(m2mTokens.sealedToken),
        isNull(m2mTokens.revokedAt),
        gt(m2mTokens.expiresAt, later(input.minRemainingTtlSeconds)),
        // Whoever asks for a short life does not get a year, because another process once did.
        lte(m2mTokens.expiresAt, later(input.ttl)),
        input.claims === null
          ? isNull(m2mTokens.claims)
          : sql`${m2mTokens.claims} = ${JSON.stringify(input.claims)}::text::jsonb`,
      ),
    )
    .orderBy(desc(m2mTokens.expiresAt))
    .limit(1)
  if (!row?.sealedToken) return undefined
  const token = unseal(tx.database.keyring, purpose(row.machineId), row.sealedToken)
  return { m2mToken: await withScopes(tx, row), token }
}

function checkClaims(claims: Record<string, unknown> | null): Record<string, unknown> | null {
  if (claims === null || Object.keys(claims).length === 0) return null
  const invalid = (message: string) => new UsherError('form_param_value_invalid', message, { param: 'claims' })
  const reserved = Object.keys(claims).find((name) => reservedClaims.has(name))
  if (reserved !== undefined) throw invalid(`The claim ${reserved} is the server’s to make.`)
  if (Buffer.byteLength(JSON.stringify(claims)) > maxClaimsBytes)
    throw invalid(`Claims have ${maxClaimsBytes} bytes at most.`)
  return claims
}

/**
 * Tokens of one machine, the newest first.
 *
 * @param input.revoked those that were revoked too; `expired` those that ran out
 * @throws {UsherError} `forbidden` when a machine asks for another's, and for anybody but machines and the application
 */
export async function listM2mTokens(
  ctx: Ctx | Tx,
  input: Pagination & { machineId: string; revoked: boolean; expired: boolean },
): Promise<Page<M2mToken>> {
  const own = ownMachineOf(ctx)
  if (own !== undefined && own !== input.machineId)
    throw new UsherError('forbidden', 'A machine sees its own tokens only.')
  return transaction(ctx, async (tx) => {
    const where = and(
      eq(m2mTokens.machineId, input.machineId),
      input.revoked ? undefined : isNull(m2mTokens.revokedAt),
      input.expired ? undefined : gt(m2mTokens.expiresAt, tx.now()),
    )
    const [total] = await tx.db.select({ n: count() }).from(m2mTokens).where(where)
    const rows = await tx.db
      .select()
      .from(m2mTokens)
      .where(where)
      .orderBy(desc(m2mTokens.createdAt), m2mTokens.id)
      .limit(input.limit)
      .offset(input.offset)
    const scopes = await findScopedMachines(tx, [input.machineId])
    return {
      data: rows.map((row) => present(tx, row, scopes.get(input.machineId) ?? [])),
      totalCount: total?.n ?? 0,
    }
  })
}

/**
 * Ends a token. One that was revoked before stays as it is.
 *
 * @throws {UsherError} `resource_not_found`, also when a machine names another's token; `forbidden` for anybody but
 *   machines and the application
 */
export async function revokeM2mToken(
  ctx: Ctx | Tx,
  input: { id: string; reason?: string | null | undefined },
): Promise<M2mToken> {
  const own = ownMachineOf(ctx)
  return transaction(ctx, async (tx) => {
    const now = tx.now()
    const isNamed = and(eq(m2mTokens.id, input.id), own === undefined ? undefined : eq(m2mTokens.machineId, own))
    const [revoked] = await tx.db
      .update(m2mTokens)
      .set({ revokedAt: now, revocationReason: input.reason ?? null, sealedToken: null, updatedAt: now })
      .where(and(isNamed, isNull(m2mTokens.revokedAt)))
      .returning()
    if (revoked) emit(tx, { type: 'm2mToken.revoked', subject: input.id, data: { machine_id: revoked.machineId } })
    const [row] = revoked ? [revoked] : await tx.db.select().from(m2mTokens).where(isNamed)
    if (!row) throw new UsherError('resource_not_found', 'There is no such token.')
    return withScopes(tx, row)
  })
}

/** Whose tokens a caller is limited to; undefined: the application, which has all. @throws {UsherError} `forbidden` */
function ownMachineOf(ctx: Ctx | Tx): string | undefined {
  if (ctx.actor.type === 'machine') return ctx.actor.machineId
  requireApplication(ctx)
  return undefined
}

/** A token with those that it may be shown to. */
export async function withScopes(tx: Tx, row: Row): Promise<M2mToken> {
  const scopes = await findScopedMachines(tx, [row.machineId])
  return present(tx, row, scopes.get(row.machineId) ?? [])
}

function present(tx: Tx, { tokenHash: _, sealedToken: __, ...row }: Row, scopes: string[]): M2mToken {
  return { ...row, scopes, expired: row.expiresAt <= tx.now() }
}
