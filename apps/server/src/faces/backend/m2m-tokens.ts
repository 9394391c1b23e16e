import { Hono, type MiddlewareHandler } from 'hono'
import { z } from 'zod'
import {
  createM2mToken,
  findMachineBySecretKey,
  listM2mTokens,
  revokeM2mToken,
  verifyM2mToken,
} from '../../domains/machines/index.ts'
import type { Actor } from '../../kernel/ctx.ts'
import { UsherError } from '../../kernel/errors.ts'
import { Pagination } from '../../kernel/pagination.ts'
import { createCtx } from '../../runtime.ts'
import { type Env, jsonResponse, secretKeyOf } from '../http.ts'
import { presentM2mToken } from '../presenters/machine.ts'
import { Metadata, parseBody } from './input.ts'
import { refusePages } from './refuse-pages.ts'

const CreateInput = z.object({
  token_format: z.enum(['opaque', 'jwt']).optional(),
  seconds_until_expiration: z.number().int().nullish(),
  claims: Metadata.nullish(),
  min_remaining_ttl_seconds: z.number().int().min(0).nullish(),
})
const RevokeInput = z.object({ revocation_reason: z.string().max(500).nullish() })
const VerifyInput = z.object({ token: z.string().max(16_384) })
const Flag = z.enum(['true', 'false']).default('false')
const ListQuery = Pagination.extend({ subject: z.string().max(100).optional(), revoked: Flag, expired: Flag })

/** `/m2m_tokens`, at the root for the SDKs and under `/v1`: for machines with their key, and for the application. */
export function m2mTokenRoutes(): Hono<Env> {
  const routes = new Hono<Env>()
  routes.use('/m2m_tokens', authenticate)
  routes.use('/m2m_tokens/*', authenticate)

  routes.post('/m2m_tokens', async (c) => {
    const input = await parseBody(c, CreateInput)
    const { m2mToken, token } = await createM2mToken(c.var.ctx, {
      format: input.token_format,
      secondsUntilExpiration: input.seconds_until_expiration,
      claims: input.claims,
      minRemainingTtlSeconds: input.min_remaining_ttl_seconds ?? undefined,
    })
    return jsonResponse(presentM2mToken(m2mToken, token), 201)
  })
  routes.get('/m2m_tokens', async (c) => {
    const { subject, revoked, expired, ...page } = ListQuery.parse(c.req.query())
    const { actor } = c.var.ctx
    const machineId = subject ?? (actor.type === 'machine' ? actor.machineId : undefined)
    if (machineId === undefined)
      throw new UsherError('form_param_missing', 'Say whose tokens: subject is the id of a machine.', {
        param: 'subject',
      })
    const { data, totalCount } = await listM2mTokens(c.var.ctx, {
      ...page,
      machineId,
      revoked: revoked === 'true',
      expired: expired === 'true',
    })
    return jsonResponse({ m2m_tokens: data.map((token) => presentM2mToken(token)), total_count: totalCount })
  })
  routes.post('/m2m_tokens/verify', async (c) => {
    const { token } = await parseBody(c, VerifyInput)
    return jsonResponse(presentM2mToken(await verifyM2mToken(c.var.ctx, token)))
  })
  routes.post('/m2m_tokens/:id/revoke', async (c) => {
    const { revocation_reason: reason } = await parseBody(c, RevokeInput)
    return jsonResponse(presentM2mToken(await revokeM2mToken(c.var.ctx, { id: c.req.param('id'), reason })))
  })
  return routes
}

/** A secret key says which instance, a machine's says which machine of it as well. */
const authenticate: MiddlewareHandler<Env> = async (c, next) => {
  const { instance, actor } = await identify(c)
  c.set('instance', instance)
  refusePages(c)
  const request = { ip: c.env.ip, userAgent: c.req.header('user-agent') }
  c.set('ctx', createCtx(c.var.runtime, instance, actor, c.var.log, request))
  await next()
}

/** @throws {UsherError} `clerk_key_invalid` */
async function identify(c: Parameters<MiddlewareHandler<Env>>[0]) {
  const { instances, database, now } = c.var.runtime
  const header = c.req.header('authorization')
  const secretKey = secretKeyOf(header)
  if (secretKey !== undefined) {
    const instance = instances.findBySecretKey(secretKey)
    if (instance) return { instance, actor: { type: 'backend' } as Actor }
  } else {
    const bearer = header?.match(/^Bearer (ak_\S{1,200})$/i)?.[1]
    const found = bearer && (await findMachineBySecretKey(database, bearer, now()))
    const instance = found && instances.find(found.instanceId)
    if (instance) return { instance, actor: { type: 'machine', machineId: found.machineId } as Actor }
  }
  throw new UsherError('clerk_key_invalid', 'The key of a machine or of the application is needed here.')
}
